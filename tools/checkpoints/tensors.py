"""Reads tensors of checkpoints that others wrote: safetensors lazily, pickles with weights_only=True."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from engram_local import model_folder
from engram_local.config import inside
from engram_local.errors import CheckpointError
from engram_local.tables.headers import LfsPointerError, refuse_lfs_pointer
from engram_local.tools.checkpoints.view import RowSource

STREAMS = {"deepseek_v4": "hc_mult", "qwen4_exp_text": "hc_count"}  # model_type -> its key for residual streams


def read_json(path: Path) -> dict:
    """A JSON object; CheckpointError names the file otherwise."""
    refuse_pointer(path)
    value = model_folder.read_json(path, CheckpointError)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}, not a JSON object")
    return value


def refuse_pointer(path: Path) -> None:
    """CheckpointError where `path` is what Git LFS leaves in place of a file."""
    with suppress(OSError), open(path, "rb") as file:
        try:
            refuse_lfs_pointer(file)
        except LfsPointerError as problem:
            raise CheckpointError(f"{path}: {problem}") from problem


def read_numbers(config: dict, file: Path, integers: dict[str, int], lists: dict[str, int] | None = None) -> dict:
    """The integers and the non-empty lists of integers that `config`, read from `file`, must hold.

    integers, lists: {key: least value}. Raises CheckpointError, naming every key that is missing.
    """
    wanted = integers | (lists or {})
    missing = [key for key in wanted if config.get(key) is None]
    if missing:
        raise CheckpointError(f"{file}: lacks {', '.join(missing)}; write there what the layers were trained with")
    for key, least in wanted.items():
        values = config[key] if key not in integers else [config[key]]
        if not isinstance(values, list) or not values or any(type(x) is not int or x < least for x in values):
            kind = "an integer" if key in integers else "a list of integers"
            raise CheckpointError(f"{file}: {key} is {str(config[key])[:60]!r}, not {kind} from {least}; correct it")
    return {key: config[key] for key in wanted}


def backbone_sizes(base: Path) -> dict:
    """hidden_size, vocab_size and num_hidden_layers of the backbone in `base`. Raises CheckpointError."""
    file = base / "config.json"
    config = read_json(file)
    sizes = dict.fromkeys(("hidden_size", "vocab_size", "num_hidden_layers"), 1)
    return read_numbers(config.get("text_config") or config, file, sizes)


def residual_streams(base: Path) -> int:
    """Streams of the residual of the backbone in `base`, where an Engram layer enters each."""
    config = read_json(base / "config.json")
    config = config.get("text_config") or config
    n = config.get(STREAMS.get(str(config.get("model_type")), ""), 1)
    return n if type(n) is int and n >= 1 else 1


class Tensors:
    """The tensors of one checkpoint by name, read on demand. Keeps file handles, never a whole table.

    `prefix` is cut off names; names without it are left out.
    """

    def __init__(self, path: Path, prefix: str = ""):
        self.path = Path(path)
        self._prefix = prefix
        self._where: dict = {}  # name -> an open safetensors file, or a dict of torch tensors
        self._files: dict[str, Path] = {}
        files = weight_files(self.path)
        if not files:
            raise CheckpointError(f"{path}: holds no .safetensors, .bin or .pt file; is this the checkpoint's folder?")
        for file in files:
            store = _open(file)
            for name in store.keys():  # noqa: SIM118 (safe_open is no mapping)
                if name.startswith(prefix):
                    self._where[name[len(prefix) :]] = store
                    self._files[name[len(prefix) :]] = file

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def names(self) -> list[str]:
        """Of all tensors."""
        return list(self._where)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor."""
        store = self._store(name)
        full = self._prefix + name
        return tuple(store[full].shape) if isinstance(store, dict) else tuple(store.get_slice(full).get_shape())

    def torch(self, name: str) -> Any:
        """The torch tensor as stored."""
        store = self._store(name)
        full = self._prefix + name
        try:
            return store[full] if isinstance(store, dict) else store.get_tensor(full)
        except Exception as e:
            raise _unreadable(self.path, e) from e

    def numpy(self, name: str) -> np.ndarray:
        """float32 for floating tensors (bfloat16 and float8 too), the stored integer type otherwise."""
        return to_numpy(self.torch(name))

    def rows(self, name: str) -> "TensorRows":
        """Rows of one tensor, read where they lie."""
        return TensorRows(self, name)

    def _store(self, name: str):
        if name not in self._where:
            raise CheckpointError(
                f"{self.path}: has no tensor {self._prefix + name!r}; the checkpoint is incomplete or of another layout"
            )
        return self._where[name]


class TensorRows(RowSource):
    """A 2-D tensor as a RowSource (view.py): safetensors slices read only the rows asked for."""

    def __init__(self, tensors: Tensors, name: str):
        shape = tensors.shape(name)
        if len(shape) != 2:
            raise CheckpointError(f"{tensors.path}: {name} has shape {list(shape)}, a table has two dimensions")
        self.n_rows, self.dim = shape
        self._tensors, self._name = tensors, tensors._prefix + name
        self._store = tensors._store(name)
        # [(file, tensor)] of rows that can be read in place (tables/links.py)
        self.parts = [] if isinstance(self._store, dict) else [(str(tensors._files[name]), self._name)]

    def read(self, start: int, stop: int) -> np.ndarray:
        if isinstance(self._store, dict):
            return to_numpy(self._store[self._name][start:stop])
        try:
            return to_numpy(self._store.get_slice(self._name)[start:stop])
        except Exception as e:
            raise _unreadable(self._tensors.path, e) from e


def weight_files(path: Path) -> list[Path]:
    """The weight files of a checkpoint: the file itself, or a folder's safetensors (by its index if it has one) or
    pickles; none where it has neither.
    """
    if path.is_file():
        return [path]
    index = path / "model.safetensors.index.json"
    if index.exists():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(inside(v) for v in weight_map.values()):
            raise CheckpointError(f"{index}: weight_map is missing or names files outside the folder")
        files = [path / name for name in sorted(set(weight_map.values()))]
    else:
        # Training runs leave other files beside the weights: the usual names first.
        for patterns in (["model.safetensors"], ["*.safetensors"], ["pytorch_model*.bin"], ["*.bin", "*.pt", "*.pth"]):
            files = sorted(file for pattern in patterns for file in path.glob(pattern))
            if files:
                break
    return files


def to_numpy(tensor: Any) -> np.ndarray:
    """A torch tensor as an array, bfloat16 as float32."""
    import torch

    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
    return np.ascontiguousarray(tensor.detach().cpu().numpy())


def _open(file: Path):
    import torch
    from safetensors import safe_open

    if not file.exists():
        raise CheckpointError(f"{file}: is missing, though the checkpoint's index names it; download it again")
    refuse_pointer(file)
    if file.suffix == ".safetensors":
        try:
            return safe_open(file, framework="pt")
        except Exception as e:
            raise _unreadable(file, e) from e
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as e:
        raise CheckpointError(
            f"{file}: is no plain state dict ({type(e).__name__}); it is not unpickled, for that may run code: save it "
            "as safetensors"
        ) from e
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(k, str) and torch.is_tensor(v) for k, v in state.items()):
        raise CheckpointError(f"{file}: holds no state dict of named tensors; save model.state_dict()")
    return state


def _unreadable(file: Path, e: Exception) -> CheckpointError:
    return CheckpointError(f"{file}: cannot be read ({str(e).splitlines()[0][:120]}); the file is truncated or altered")
