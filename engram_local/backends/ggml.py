"""A matrix product in ggml: the matrix laid out for this CPU as llama.cpp lays out its own, and multiplied by the very
threads that llama.cpp computes with, which still spin between two nodes of its graph, where others have to wake up."""

import ctypes
import weakref
from ctypes import POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from engram_local.backends.llama_library import ggml_function
from engram_local.errors import BackendError

TYPES = {"float32": 0, "q4_0": 2, "q8_0": 8}  # ggml_type
CPU = 0  # ggml_backend_dev_type
ALIGNMENT = 64  # bytes; what ggml asks of memory that it did not allocate, or more


class _InitParams(ctypes.Structure):
    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


# Results and arguments, as ggml.h, ggml-backend.h and ggml-alloc.h declare them.
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "ggml_init": (c_void_p, _InitParams),
    "ggml_free": (None, c_void_p),
    "ggml_tensor_overhead": (c_size_t,),
    "ggml_graph_overhead_custom": (c_size_t, c_size_t, c_bool),
    "ggml_new_tensor_2d": (c_void_p, c_void_p, c_int, c_int64, c_int64),
    "ggml_mul_mat": (c_void_p, c_void_p, c_void_p, c_void_p),
    "ggml_new_graph_custom": (c_void_p, c_void_p, c_size_t, c_bool),
    "ggml_build_forward_expand": (None, c_void_p, c_void_p),
    "ggml_nbytes": (c_size_t, c_void_p),
    "ggml_backend_dev_by_type": (c_void_p, c_int),
    "ggml_backend_dev_init": (c_void_p, c_void_p, c_char_p),
    "ggml_backend_dev_backend_reg": (c_void_p, c_void_p),
    "ggml_backend_dev_buffer_type": (c_void_p, c_void_p),
    "ggml_backend_dev_supports_op": (c_bool, c_void_p, c_void_p),
    "ggml_backend_reg_get_proc_address": (c_void_p, c_void_p, c_char_p),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, c_void_p, c_void_p),
    "ggml_backend_cpu_buffer_from_ptr": (c_void_p, c_void_p, c_size_t),
    "ggml_backend_tensor_alloc": (c_int, c_void_p, c_void_p, c_void_p),
    "ggml_backend_tensor_set": (None, c_void_p, c_void_p, c_size_t, c_size_t),
    "ggml_backend_graph_compute": (c_int, c_void_p, c_void_p),
    "ggml_backend_buffer_free": (None, c_void_p),
    "ggml_backend_free": (None, c_void_p),
}


@cache
def _ggml() -> Any:
    """Those functions, their names without ggml_. Raises BackendError where this ggml lacks one."""
    found = {
        name.removeprefix("ggml_"): ctypes.CFUNCTYPE(*signature)(ggml_function(name))
        for name, signature in _SIGNATURES.items()
    }
    return SimpleNamespace(**found)


class Product:
    """x W^T for up to max_tokens rows at once. Not for several threads at once.

    inputs: float32 [max_tokens, K], to be filled; outputs: float32 [max_tokens, N], what `run` leaves there."""

    def __init__(self, kind: str, matrix: np.ndarray, shape: tuple[int, int], max_tokens: int, threads: int):
        """kind: of TYPES; matrix: W [N, K] in ggml's layout of that type, contiguous; shape: (N, K).
        Raises BackendError where ggml cannot take it."""
        ggml, (n, k) = _ggml(), shape
        self._owned: list[tuple[Any, Any]] = []  # what frees, and what it frees
        self._finalizer = weakref.finalize(self, _free, self._owned)
        device = self._made(ggml.backend_dev_by_type(CPU))
        self._backend = self._own(ggml.backend_free, ggml.backend_dev_init(device, None))
        _set_threads(device, self._backend, threads)
        self.inputs, self.outputs = _aligned(max_tokens, k), _aligned(max_tokens, n)
        self._places = [
            self._own(ggml.backend_buffer_free, ggml.backend_cpu_buffer_from_ptr(x.ctypes.data, x.nbytes))
            for x in (self.inputs, self.outputs)
        ]
        self._graphs: dict[int, Any] = {}  # tokens -> graph
        for buffer_type in _buffer_types(device):
            context = self._context(1)
            self._matrix = ggml.new_tensor_2d(context, TYPES[kind], k, n)
            self._own(ggml.backend_buffer_free, ggml.backend_alloc_ctx_tensors_from_buft(context, buffer_type))
            if ggml.backend_dev_supports_op(device, self._node(1)[0]):
                break
        if ggml.nbytes(self._matrix) != matrix.nbytes:
            raise BackendError(
                f"ggml holds {shape} {kind} values in {ggml.nbytes(self._matrix)} bytes, not {matrix.nbytes}"
            )
        ggml.backend_tensor_set(self._matrix, matrix.ctypes.data, 0, matrix.nbytes)

    def run(self, n_tokens: int) -> np.ndarray:
        """The product of inputs[:n_tokens], float32 [n_tokens, N]; valid until the next run. Raises BackendError."""
        self.check(_ggml().backend_graph_compute(self._backend, self._graph(n_tokens)))
        return self.outputs[:n_tokens]

    def call(self, n_tokens: int) -> tuple[int, int, int]:
        """`run` for who computes without Python: the addresses of ggml_backend_graph_compute and of its two arguments,
        which live as long as this object. What it returns is `check`'s."""
        return ggml_function("ggml_backend_graph_compute"), self._backend, self._graph(n_tokens)

    @staticmethod
    def check(status: int) -> None:
        """Raise BackendError unless ggml computed."""
        if status != 0:
            raise BackendError(f"ggml's product failed with status {status}")

    def _graph(self, n_tokens: int) -> Any:
        graph = self._graphs.get(n_tokens)
        if graph is None:
            node, context = self._node(n_tokens)
            graph = self._graphs[n_tokens] = _ggml().new_graph_custom(context, 4, False)
            _ggml().build_forward_expand(graph, node)
        return graph

    def _node(self, n_tokens: int) -> tuple[Any, Any]:
        """The product's tensor, and the context that holds it."""
        ggml, context = _ggml(), self._context(4)
        x = ggml.new_tensor_2d(context, TYPES["float32"], self.inputs.shape[1], n_tokens)
        y = ggml.mul_mat(context, self._matrix, x)
        for buffer, tensor, array in zip(self._places, (x, y), (self.inputs, self.outputs), strict=True):
            ggml.backend_tensor_alloc(buffer, tensor, array.ctypes.data)
        return y, context

    def _context(self, n_tensors: int) -> Any:
        """Room for so many tensors without their content, and a graph of them."""
        ggml = _ggml()
        size = n_tensors * ggml.tensor_overhead() + ggml.graph_overhead_custom(n_tensors, False)
        return self._own(ggml.free, ggml.init(_InitParams(size, None, True)))

    def _own(self, free: Any, made: Any) -> Any:
        self._owned.append((free, self._made(made)))
        return made

    @staticmethod
    def _made(what: Any) -> Any:
        if not what:
            raise BackendError("ggml makes no product: it has no memory, or no CPU")
        return what


def _free(owned: list[tuple[Any, Any]]) -> None:
    while owned:
        free, what = owned.pop()
        free(what)


def _aligned(rows: int, columns: int) -> np.ndarray:
    """Zeros, float32 [rows, columns], where ggml may compute."""
    room = np.zeros(rows * columns + ALIGNMENT // 4, np.float32)
    begin = -room.ctypes.data % ALIGNMENT // 4
    return room[begin : begin + rows * columns].reshape(rows, columns)


def _set_threads(device: Any, backend: Any, threads: int) -> None:
    function = _of_registry(device, "ggml_backend_set_n_threads", None, c_void_p, c_int)
    if function:
        function(backend, threads)


def _buffer_types(device: Any) -> list[Any]:
    """Where a matrix may lie: first what lays it out anew for this CPU's instructions, last plain memory."""
    extra = _of_registry(device, "ggml_backend_dev_get_extra_bufts", POINTER(c_void_p), c_void_p)
    found: list[Any] = []
    pointers = extra(device) if extra else None
    while pointers and pointers[len(found)]:
        found.append(pointers[len(found)])
    return [*found, _ggml().backend_dev_buffer_type(device)]


def _of_registry(device: Any, name: str, *signature: Any) -> Any:
    """A function that only some devices have."""
    registry = _ggml().backend_dev_backend_reg(device)
    address = _ggml().backend_reg_get_proc_address(registry, name.encode())
    return ctypes.CFUNCTYPE(*signature)(address) if address else None
