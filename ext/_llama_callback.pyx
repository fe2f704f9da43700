"""Reads and rewrites chosen nodes of a llama.cpp graph while it is evaluated (in Python alone that costs 7 %)."""

from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy


cdef extern from "stdbool.h":
    ctypedef bint c_bool "bool"


cdef extern from "llama_callback.h":
    ctypedef struct el_llama_filter:
        const char *(*get_name)(const void *) noexcept nogil
        const char **names
        int n_names
        int next
        c_bool (*hook)(void *, void *, int) noexcept nogil
        void *owner
    c_bool el_llama_eval(void *tensor, c_bool ask, void *user_data) nogil


cdef extern from "gate.h":
    ctypedef struct el_gate:
        int streams
        int residual_streams
        int width
        int kernel
        int dilation
        float gate_epsilon
        float conv_epsilon
        const float *norm_key
        const float *norm_query
        const float *norm_conv
        const float *conv
        const float *key_bias
        const float *value_bias
        const float *conv_bias
    void el_gate_add(const el_gate *gate, int n, float *hidden, float *projected, float *conv) nogil


ctypedef size_t (*nbytes_t)(const void *) noexcept nogil
ctypedef void (*get_t)(const void *, void *, size_t, size_t) noexcept nogil
ctypedef void (*set_t)(void *, const void *, size_t, size_t) noexcept nogil
ctypedef int (*compute_t)(void *, void *) noexcept nogil


cdef c_bool call_hook(void *owner, void *tensor, int index) noexcept with gil:
    cdef EvalCallback self = <EvalCallback>owner
    self.tensor = tensor
    try:
        self.hook(index)
        return True
    except BaseException as error:  # llama.cpp's frames lie between here and the caller: kept until finish()
        self.error = error
        return False
    finally:
        self.tensor = NULL


cdef class EvalCallback:
    """One llama_context's evaluation callback: `hook(i)` runs when node `names[i]` has been computed.

    Inside the hook, n_bytes, read() and write() speak of that node, wherever its backend keeps it.
    """

    cdef el_llama_filter filter
    cdef nbytes_t nbytes
    cdef get_t get
    cdef set_t set
    cdef void *tensor
    cdef object names
    cdef object hook
    cdef object error

    def __cinit__(self, list names, hook, dict functions):
        """names: bytes, in graph order; functions: addresses of ggml_get_name, ggml_nbytes and
        ggml_backend_tensor_get/set in the loaded library."""
        self.names = names
        self.hook = hook
        self.nbytes = <nbytes_t><uintptr_t>functions["ggml_nbytes"]
        self.get = <get_t><uintptr_t>functions["ggml_backend_tensor_get"]
        self.set = <set_t><uintptr_t>functions["ggml_backend_tensor_set"]
        self.filter.get_name = <const char *(*)(const void *) noexcept nogil><uintptr_t>functions["ggml_get_name"]
        self.filter.names = <const char **>calloc(max(len(names), 1), sizeof(char *))
        if self.filter.names == NULL:
            raise MemoryError
        for i in range(len(names)):
            self.filter.names[i] = <bytes>names[i]  # self.names keeps them alive
        self.filter.n_names = <int>len(names)
        self.filter.next = self.filter.n_names
        self.filter.hook = call_hook
        self.filter.owner = <void *>self

    def __dealloc__(self):
        free(self.filter.names)

    @property
    def address(self):
        """For llama_context_params.cb_eval."""
        return <uintptr_t>&el_llama_eval

    @property
    def user_data(self):
        """For llama_context_params.cb_eval_user_data; valid as long as this object lives."""
        return <uintptr_t>&self.filter

    def arm(self):
        """Await the nodes, in order, during the next evaluation."""
        self.error = None
        self.filter.next = 0

    def finish(self):
        """Stop awaiting. Raises what the hook raised; returns the first name that never came, None if all came."""
        cdef int awaited = self.filter.next
        self.filter.next = self.filter.n_names
        error, self.error = self.error, None
        if error is not None:
            raise error
        return self.names[awaited].decode() if awaited < self.filter.n_names else None

    @property
    def n_bytes(self):
        self._check()
        return self.nbytes(self.tensor)

    def read(self, float[:, ::1] out):
        """Copy the node, a float32 matrix of out's size, into `out`."""
        self._check_size(out)
        with nogil:
            self.get(self.tensor, &out[0, 0], 0, <size_t>(out.shape[0] * out.shape[1] * 4))

    def write(self, float[:, ::1] values):
        """Replace the node's values; what the graph computes next reads these."""
        self._check_size(values)
        with nogil:
            self.set(self.tensor, &values[0, 0], 0, <size_t>(values.shape[0] * values.shape[1] * 4))

    cdef int _check(self) except -1:
        if self.tensor == NULL:
            raise RuntimeError("no node is being evaluated")
        return 0

    cdef int _check_size(self, float[:, ::1] array) except -1:
        self._check()
        cdef size_t n_bytes = array.shape[0] * array.shape[1] * 4
        if n_bytes != self.nbytes(self.tensor):
            raise ValueError(f"the node has {self.nbytes(self.tensor)} bytes, the array {n_bytes}")
        return 0


cdef const float *constant(dict constants, str name, Py_ssize_t size) except? NULL:
    """Address of a constant of `size` values; NULL where there is none."""
    array = constants.get(name)
    if array is None:
        return NULL
    cdef const float[::1] flat = array.reshape(-1)
    if flat.shape[0] != size:
        raise ValueError(f"{name} has {flat.shape[0]} values, not {size}")
    return &flat[0]


cdef class Gate:
    """An Engram layer behind its projections (ext/gate.h). Not for several threads at once."""

    cdef el_gate gate
    cdef dict constants

    def __cinit__(self, dict constants, tuple sizes, tuple conv, tuple epsilons):
        """constants: float32 arrays, contiguous, by the names of el_gate's pointers; sizes: (streams M, streams of
        the residual, width d); conv: (kernel, dilation), zeros without convolution; epsilons: of the gate's norms and
        of the convolution's. Raises ValueError where a constant is missing or has another size."""
        g = &self.gate
        g.streams, g.residual_streams, g.width = sizes
        g.kernel, g.dilation = conv
        g.gate_epsilon, g.conv_epsilon = epsilons
        channels = g.streams * g.width
        self.constants = constants  # keeps them alive
        g.norm_key = constant(constants, "norm_key", channels)
        g.norm_query = constant(constants, "norm_query", channels)
        g.norm_conv = constant(constants, "norm_conv", channels)
        g.conv = constant(constants, "conv", g.kernel * channels)
        g.key_bias = constant(constants, "key_bias", channels)
        g.value_bias = constant(constants, "value_bias", g.width)
        g.conv_bias = constant(constants, "conv_bias", channels)
        if not g.norm_key or not g.norm_query or (g.kernel and not (g.norm_conv and g.conv)):
            raise ValueError("a norm or the convolution is missing")

    def add(self, float[:, ::1] hidden, float[:, ::1] projected, float[:, ::1] conv):
        """hidden += the layer, in place, for n tokens of one sequence.

        hidden [n, residual streams * d]; projected [n, (M + 1) * d], keys and values, overwritten; conv
        [(kernel - 1) * dilation + n, M * d], or None without convolution: its inputs before, then those of now."""
        g = &self.gate
        cdef int n = <int>hidden.shape[0]
        if hidden.shape[1] != g.residual_streams * g.width or projected.shape[0] != n:
            raise ValueError("hidden and projected do not belong together")
        if projected.shape[1] != (g.streams + 1) * g.width:
            raise ValueError(f"projected has {projected.shape[1]} columns, not {(g.streams + 1) * g.width}")
        cdef float *inputs = self.inputs_of(conv, n)
        if n:
            with nogil:
                el_gate_add(g, n, &hidden[0, 0], &projected[0, 0], inputs)

    cdef float *inputs_of(self, float[:, ::1] conv, int n) except? NULL:
        """Address of the convolution's inputs, checked for n tokens; NULL without convolution."""
        g = &self.gate
        if not g.kernel:
            return NULL
        if conv is None or conv.shape[0] != (g.kernel - 1) * g.dilation + n or conv.shape[1] != g.streams * g.width:
            raise ValueError("the convolution's inputs are not those of the tokens before and now")
        return &conv[0, 0]


cdef class TokenStep:
    """A layer for one token of one sequence, from the node that holds its residual back into it, in one call: what
    Python does between is slow where llama.cpp's weights have just emptied the caches."""

    cdef Gate gate
    cdef compute_t compute
    cdef void *backend
    cdef void *graph
    cdef float[:, ::1] rows
    cdef float[:, ::1] projected
    cdef float[:, ::1] hidden

    def __init__(self, Gate gate, float[:, ::1] rows, float[:, ::1] projected, float[:, ::1] hidden, product):
        """rows [1, E]: where the graph reads; projected [1, (M + 1) * d]: where it writes; hidden [1, streams of the
        residual * d]: room; product: addresses of ggml_backend_graph_compute, the backend and the graph, which the
        caller keeps alive."""
        if projected.shape[1] != (gate.gate.streams + 1) * gate.gate.width:
            raise ValueError(f"projected has {projected.shape[1]} columns")
        if hidden.shape[1] != gate.gate.residual_streams * gate.gate.width:
            raise ValueError(f"hidden has {hidden.shape[1]} columns")
        compute, backend, graph = product
        self.compute = <compute_t><uintptr_t>compute
        self.backend, self.graph = <void *><uintptr_t>backend, <void *><uintptr_t>graph
        self.gate, self.rows, self.projected, self.hidden = gate, rows, projected, hidden

    def run(self, EvalCallback callback, const float[:, ::1] rows, float[:, ::1] conv):
        """The node that `callback` speaks of += the layer; rows [1, E]; conv as Gate.add takes it. Returns ggml's
        status, 0 if it computed; nothing has changed otherwise."""
        cdef float *inputs = self.gate.inputs_of(conv, 1)
        cdef int status
        callback._check_size(self.hidden)
        if rows.shape[0] != 1 or rows.shape[1] != self.rows.shape[1]:
            raise ValueError(f"a token has {self.rows.shape[1]} values of rows, not {rows.shape[1]}")
        with nogil:
            memcpy(&self.rows[0, 0], &rows[0, 0], <size_t>rows.shape[1] * 4)
            status = self.compute(self.backend, self.graph)
            if status == 0:
                callback.get(callback.tensor, &self.hidden[0, 0], 0, <size_t>self.hidden.shape[1] * 4)
                el_gate_add(&self.gate.gate, 1, &self.hidden[0, 0], &self.projected[0, 0], inputs)
                callback.set(callback.tensor, &self.hidden[0, 0], 0, <size_t>self.hidden.shape[1] * 4)
        return status
