"""What runs a backbone: one module a runtime, each with the protocol of base.py."""

from typing import Any

from engram_local.backends.base import Backend
from engram_local.errors import BackendError, ModelFolderError, UsageError
from engram_local.model_folder import ModelFolder

COMMON_OPTIONS = ("threads", "context_length", "verbose")
OWN_OPTIONS = {
    "onnx": ("spinning",),
    "gguf": ("n_gpu_layers", "kv_type", "flash_attention", "n_sequences", "checkpoint_bytes"),
}


def choose_backend(folder: ModelFolder, backend: str) -> str:
    """Resolve "auto": ONNX where the folder has it, else GGUF. Raises BackendError for what it does not hold."""
    held = [name for name, has in (("onnx", folder.has_onnx), ("gguf", folder.has_gguf)) if has]
    if not held:
        raise ModelFolderError(f"{folder.path}: holds neither backbone.onnx nor backbone.gguf; export the model again")
    if backend == "auto":
        return held[0]
    if backend not in ("onnx", "gguf"):
        raise UsageError(f"no backend {backend!r}; choose auto, onnx or gguf")
    if backend not in held:
        raise BackendError(
            f"{folder.path}: has no backbone.{backend}; use --backend {held[0]}, or export with --backend both"
        )
    return backend


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
