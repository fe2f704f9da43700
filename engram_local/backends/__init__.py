"""What runs a backbone: one module a runtime, each with the protocol of base.py."""

from typing import Any

from engram_local.backends.base import Backend
from engram_local.backends.timed_choice import faster
from engram_local.errors import BackendError, ModelFolderError, UsageError
from engram_local.model_folder import ModelFolder

COMMON_OPTIONS = ("threads", "context_length", "verbose")
OWN_OPTIONS = {
    "onnx": ("spinning", "n_sequences"),
    "gguf": ("n_gpu_layers", "kv_type", "flash_attention", "n_sequences", "checkpoint_bytes"),
}


def choose_backend(folder: ModelFolder, backend: str, **options: Any) -> tuple[str, str]:
    """("onnx" or "gguf", why). "auto" is what the folder holds, and of two the faster one here (timed_choice.py);
    `options`: of open_backend. Raises BackendError for what the folder does not hold."""
    held = [name for name, has in (("onnx", folder.has_onnx), ("gguf", folder.has_gguf)) if has]
    if not held:
        raise ModelFolderError(f"{folder.path}: holds neither backbone.onnx nor backbone.gguf; export the model again")
    if backend == "auto":
        if len(held) == 1:
            return held[0], "the folder holds no other"
        common = {x: y for x, y in options.items() if x in COMMON_OPTIONS}
        return faster(folder, options["threads"], lambda name: open_backend(name, folder, **common))
    if backend not in ("onnx", "gguf"):
        raise UsageError(f"no backend {backend!r}; choose auto, onnx or gguf")
    if backend not in held:
        raise BackendError(
            f"{folder.path}: has no backbone.{backend}; use --backend {held[0]}, or export with --backend both"
        )
    return backend, "it was asked for"


def open_backend(name: str, folder: ModelFolder, **options: Any) -> Backend:
    """Load the backbone of `folder` in runtime `name` ("onnx" or "gguf"); `options`: threads, context_length, verbose,
    and that backend's own. Raises BackendError; UsageError for an option that it does not have."""
    for option in options:
        if option not in (*COMMON_OPTIONS, *OWN_OPTIONS[name]):
            other = next((x for x, own in OWN_OPTIONS.items() if option in own), None)
            if option == "n_gpu_layers":
                raise UsageError("blocks on the GPU (--gpu-layers) need the gguf backend; use --backend gguf")
            if other:
                raise UsageError(f"{option} is an option of the {other} backend; use --backend {other}")
            raise UsageError(f"no option {option!r}; the {name} backend takes {', '.join(OWN_OPTIONS[name])}")
    if name == "onnx":
        from engram_local.backends.onnx import OnnxBackend

        return OnnxBackend(folder, **options)
    from engram_local.backends.gguf import GgufBackend

    return GgufBackend(folder, **options)
