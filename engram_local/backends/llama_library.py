"""llama.cpp as llama-cpp-python ships it: loaded quietly, functions found by name, complaints kept for errors."""

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from engram_local.errors import BackendError, MissingSoftwareError, UsageError
from engram_local.tables.headers import LfsPointerError, refuse_lfs_pointer

REQUIREMENT = "llama-cpp-python>=0.3.36"
GGML_FUNCTIONS = ("ggml_get_name", "ggml_nbytes", "ggml_backend_tensor_get", "ggml_backend_tensor_set")
LLAMA_FUNCTIONS = (
    "llama_model_load_from_file",
    "llama_init_from_model",
    "llama_get_memory",
    "llama_memory_seq_rm",
    "llama_state_seq_get_data",
    "llama_decode",
    "llama_get_logits_ith",
)
CONTEXT_FIELDS = (
    "n_ubatch",
    "flash_attn_type",
    "cb_eval",
    "cb_eval_user_data",
    "type_k",
    "type_v",
    "swa_full",
    "op_offload",
)
LAZY_ON = 2  # llama_lazy_mode
LEVEL_WARNING, LEVEL_ERROR, LEVEL_CONTINUE = 3, 4, 5  # ggml_log_level


class _Log:
    """Takes llama.cpp's log: warnings are printed where `verbose`, errors kept, for they say why a load failed."""

    def __init__(self) -> None:
        self.verbose = False
        self.pointer: Any = None  # what llama.cpp calls
        self.errors: list[str] = []
        self.level = 0

    def __call__(self, level: int, text: bytes, _user_data: Any) -> None:
        line = text.decode("utf-8", "replace")
        self.level = self.level if level == LEVEL_CONTINUE else level
        if self.verbose and self.level >= LEVEL_WARNING:
            import sys

            print(line, end="", file=sys.stderr, flush=True)
        if self.level == LEVEL_ERROR and line.strip():
            self.errors = [*self.errors[-7:], line.strip()]

    def reason(self) -> str:
        """The first error since clear(): llama.cpp reports the cause first and then who gave up because of it."""
        return " ".join(self.errors[0].split())[:200] if self.errors else "no reason given"

    def clear(self) -> None:
        self.errors.clear()


log = _Log()
_computed_in: set[int] = set()  # processes in which llama.cpp has made threads


@cache
def llama() -> Any:
    """The module llama_cpp.llama_cpp, initialised. Raises MissingSoftwareError where it is missing or too old."""
    try:
        from llama_cpp import llama_cpp as lib
    except ImportError as error:
        raise MissingSoftwareError(f"GGUF needs {REQUIREMENT} ({error}); pip install 'engram_local[gguf]'") from error
    except (OSError, RuntimeError) as error:
        raise MissingSoftwareError(
            f"llama-cpp-python does not load ({str(error)[:160]}); reinstall {REQUIREMENT}"
        ) from error
    for name in LLAMA_FUNCTIONS:
        if not hasattr(lib, name):
            raise MissingSoftwareError(f"llama-cpp-python {version()} has no {name}; install {REQUIREMENT}")
    fields = {field[0] for field in lib.llama_context_params._fields_}
    for name in CONTEXT_FIELDS:
        if name not in fields:
            raise MissingSoftwareError(
                f"llama-cpp-python {version()} has no context parameter {name}; install {REQUIREMENT}"
            )
    log.pointer = lib.llama_log_callback(log)  # ctypes must not let go of it
    lib.llama_log_set(log.pointer, ctypes.c_void_p(0))
    lib.llama_backend_init()
    return lib


@cache
def logits_address() -> Any:
    """llama_get_logits_ith(context, i) -> address, without the pointer object that ctypes would make at each token."""
    function = llama()._lib["llama_get_logits_ith"]
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_int32), ctypes.c_void_p
    return function


def version() -> str:
    """Of llama-cpp-python."""
    import llama_cpp

    return llama_cpp.__version__


@cache
def ggml_functions() -> dict[str, int]:
    """Addresses of GGML_FUNCTIONS. Raises BackendError."""
    return {name: ggml_function(name) for name in GGML_FUNCTIONS}


def ggml_function(name: str) -> int:
    """Address of a function in the ggml that llama.cpp itself uses. Raises BackendError."""
    handle = next((h for h in _ggml_handles() if hasattr(h, name)), None)
    if handle is None:
        raise BackendError(f"llama-cpp-python {version()} exports no {name}; install {REQUIREMENT}")
    return ctypes.cast(getattr(handle, name), ctypes.c_void_p).value or 0


@cache
def _ggml_handles() -> list[ctypes.CDLL]:
    import llama_cpp

    handles = [llama()._lib]  # on Linux and macOS a handle answers for the libraries it depends on too
    for path in sorted((Path(llama_cpp.__file__).parent / "lib").glob("*ggml*")):
        if path.suffix in (".dll", ".dylib", ".so"):
            handles.append(ctypes.CDLL(str(path)))
    return handles


def note_threads() -> None:
    """llama.cpp is about to compute in this process; its threads are in none that is forked from it."""
    _computed_in.add(os.getpid())


def load_model(
    path: str | Path | Sequence[Path],
    *,
    vocab_only: bool = False,
    n_gpu_layers: int = 0,
    lazy: bool = False,
    verbose: bool = False,
) -> Any:
    """A llama_model pointer, to be freed with llama_model_free. Raises BackendError with llama.cpp's own reason,
    UsageError in a process forked from one in which llama.cpp computed: it would wait for threads without end.

    path: a file, or the parts of one in order; lazy: tables that the backbone has of its own are not read ahead.
    """
    paths = [Path(path)] if isinstance(path, (str, Path)) else list(path)
    if _computed_in and os.getpid() not in _computed_in and not vocab_only:
        raise UsageError(
            f"{paths[0]}: llama.cpp computed before fork(), and hangs in this process; load it in a spawned one"
        )
    for part in paths:
        check_gguf(part)
    lib = llama()
    log.verbose = verbose
    log.clear()
    params = lib.llama_model_default_params()
    params.vocab_only = vocab_only
    params.n_gpu_layers = n_gpu_layers
    if lazy:
        params.lazy_mode = LAZY_ON
    if len(paths) == 1:
        model = lib.llama_model_load_from_file(os.fsencode(paths[0]), params)
    else:
        names = (ctypes.c_char_p * len(paths))(*map(os.fsencode, paths))
        model = lib.llama_model_load_from_splits(names, len(paths), params)
    if not model:
        raise BackendError(f"{paths[0]}: llama.cpp cannot load it ({log.reason()}); export or download the GGUF again")
    return model


def check_gguf(path: str | Path) -> None:
    """Raise BackendError unless `path` begins as a GGUF file does."""
    try:
        with open(path, "rb") as file:
            refuse_lfs_pointer(file)
            head = file.read(8)
    except OSError as error:
        raise BackendError(f"{path}: cannot be read ({error.strerror})") from error
    except LfsPointerError as error:
        raise BackendError(f"{path}: {error}") from error
    if head[:4] != b"GGUF":
        raise BackendError(f"{path}: is not a GGUF file (it begins with {head[:4]!r}, not b'GGUF')")


def metadata(model: Any, key: str) -> str | None:
    """One value of the model's GGUF header as text, None where it has no such key."""
    buffer = ctypes.create_string_buffer(65536)
    size = llama().llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return None if size < 0 else buffer.value.decode("utf-8", "replace")
