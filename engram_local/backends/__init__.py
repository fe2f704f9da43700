"""What runs a backbone: one module a runtime, each with the protocol of base.py."""

from typing import Any

from engram_local.backends.base import Backend
from engram_local.errors import BackendError, ModelFolderError, UsageError
from engram_local.model_folder import ModelFolder


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
    """Load the backbone of `folder` in runtime `name` ("onnx" or "gguf"); `options` are that backend's own. Raises
    BackendError; UsageError for an option that it does not have."""
    if name == "onnx":
        from engram_local.backends.onnx import OnnxBackend

        if "n_gpu_layers" in options:
            raise UsageError("blocks on the GPU (--gpu-layers) need the gguf backend; use --backend gguf")
        return OnnxBackend(folder, **options)
    try:
        from engram_local.backends.gguf import GgufBackend
    except ImportError as error:
        raise BackendError(
            f"the gguf backend needs llama-cpp-python ({error}); pip install 'engram_local[gguf]'"
        ) from error
    return GgufBackend(folder, **options)
