# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""Where payload bytes go: into the object that the user keeps, or into a scratch that a decoder reads at once."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint8_t, uint64_t

from framewarden.kernels cimport _kernels

cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t) except NULL
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    char *PyBytes_AS_STRING(PyObject *) noexcept
    PyObject *PyUnicode_New(Py_ssize_t, Py_UCS4) except NULL
    int PyUnicode_Resize(PyObject **, Py_ssize_t) except -1
    void *PyUnicode_1BYTE_DATA(PyObject *) noexcept

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(__GLIBC__)
    #include <malloc.h>
    #else
    #define malloc_trim(pad) (0)
    #endif
    """
    int malloc_trim(size_t) nogil

cdef size_t SMALLEST = 64
cdef size_t SCRATCH_KEPT = 256 * 1024   # bytes of scratch that stay with the process between two messages


cdef int resize(Growing *g, bint text, size_t capacity) except -1:
    """Give the object room for capacity bytes; what it holds stays. CPython frees the object when it cannot grow."""
    try:
        if text:
            if g.object == NULL:
                g.object = PyUnicode_New(<Py_ssize_t>capacity, 127)
            else:
                PyUnicode_Resize(&g.object, <Py_ssize_t>capacity)
            g.data = <uint8_t *>PyUnicode_1BYTE_DATA(g.object)
        else:
            if g.object == NULL:
                g.object = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>capacity)
            else:
                _PyBytes_Resize(&g.object, <Py_ssize_t>capacity)
            g.data = <uint8_t *>PyBytes_AS_STRING(g.object)
    except MemoryError:
        growing_clear(g)
        raise
    g.capacity = capacity
    return 0


cdef int growing_reserve(Growing *g, bint text, size_t extra, uint64_t ceiling) except -1:
    cdef size_t needed = g.used + extra
    if g.object != NULL and needed <= g.capacity:
        return 0
    cdef size_t wanted = 2 * g.capacity if 2 * g.capacity > SMALLEST else SMALLEST
    if ceiling != 0 and wanted > ceiling:
        wanted = <size_t>ceiling
    return resize(g, text, needed if needed > wanted else wanted)


cdef object growing_finish(Growing *g, bint text, bint nonascii):
    if g.object == NULL:
        return "" if text else b""
    if text and nonascii:
        result = _kernels.str_from_valid_utf8(g.data, g.used, False)
        growing_clear(g)
        return result
    if g.used != g.capacity:
        resize(g, text, g.used)
    result = <object>g.object
    growing_clear(g)
    return result


cdef void growing_clear(Growing *g) noexcept:
    Py_XDECREF(g.object)
    g.object = NULL
    g.data = NULL
    g.used = g.capacity = 0


@cython.final
@cython.no_gc
cdef class Scratch:
    """Memory that holds one message while a decoder reads it, through the buffer protocol. Not made by users."""

    def __dealloc__(self):
        PyMem_Free(self.data)

    def __getbuffer__(self, Py_buffer *view, int flags):
        # By hand: PyBuffer_FillInfo would overwrite the reference to None that Cython has put into view.obj.
        if flags & PyBUF_WRITABLE:
            raise BufferError("a Scratch is read-only")
        self.shape = <Py_ssize_t>self.size
        self.stride = 1
        view.obj = self
        view.buf = self.data
        view.len = self.shape
        view.itemsize = 1
        view.readonly = True
        view.ndim = 1
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = <char *>b"B"
        view.shape = &self.shape if flags & PyBUF_ND else NULL
        view.strides = &self.stride if flags & PyBUF_STRIDES == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.exports -= 1

    cdef int reserve(self, size_t capacity) except -1:
        cdef void *data
        if capacity > self.capacity or self.data == NULL:
            data = PyMem_Realloc(self.data, capacity if capacity > SMALLEST else SMALLEST)
            if data == NULL:
                raise MemoryError
            self.data = <uint8_t *>data
            self.capacity = capacity if capacity > SMALLEST else SMALLEST
        return 0


cdef Scratch shared = None


cdef Scratch borrow_scratch(size_t capacity):
    global shared
    cdef Scratch scratch = shared
    if scratch is None or scratch.lent or scratch.exports:      # lent: a decoder's hook has come here again
        scratch = Scratch.__new__(Scratch)
        shared = scratch
    scratch.lent = True
    scratch.size = 0
    if capacity > scratch.capacity or scratch.data == NULL:
        scratch.reserve(capacity)
    return scratch


cdef int give_back(Scratch scratch) except -1:
    global shared
    scratch.lent = False
    if scratch.capacity > SCRATCH_KEPT and scratch is shared:
        shared = None
    return 0


def return_pages() -> None:
    """Give the pages between allocated memory back to the system. glibc keeps them otherwise, and more after every
    large block that is freed (its M_MMAP_THRESHOLD and M_TRIM_THRESHOLD grow); elsewhere this does nothing."""
    with nogil:
        malloc_trim(0)
