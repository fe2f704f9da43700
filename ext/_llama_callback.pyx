"""Reads and rewrites chosen nodes of a llama.cpp graph while it is evaluated (in Python alone that costs 7 %)."""

from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free


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


ctypedef size_t (*nbytes_t)(const void *) noexcept nogil
ctypedef void (*get_t)(const void *, void *, size_t, size_t) noexcept nogil
ctypedef void (*set_t)(void *, const void *, size_t, size_t) noexcept nogil


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
