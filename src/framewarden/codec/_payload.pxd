# cython: language_level=3
"""Where payload bytes go: into the object that the user keeps, or into a scratch that a decoder reads at once."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t


cdef enum Kind:
    NOTHING     # judged, not kept
    STR         # a str
    BYTES       # a bytes
    SCRATCH     # whatever a decoder can read: a Scratch, or bytes when the message came in pieces


cdef struct Growing:
    # A bytes or an ASCII str that is still being written; all zero: empty. The object has one owner, this struct, so
    # that it may be resized. An ASCII str may hold bytes above 0x7F until finish() has looked at it.
    PyObject *object
    uint8_t *data
    size_t used
    size_t capacity


# Room for extra bytes more behind used. At most doubles what is there, and never goes beyond ceiling (in bytes, the
# size at which the object is known to be complete; 0: not known). Raises MemoryError; g is empty then.
cdef int growing_reserve(Growing *g, bint text, size_t extra, uint64_t ceiling) except -1
# The finished object, g is empty then. nonascii: a str must be made by transcoding.
cdef object growing_finish(Growing *g, bint text, bint nonascii)
cdef void growing_clear(Growing *g) noexcept


cdef class Scratch:
    cdef uint8_t *data
    cdef readonly size_t size
    cdef readonly size_t capacity
    cdef readonly int exports
    cdef bint lent
    cdef Py_ssize_t shape       # of what has been exported; it does not change while it is
    cdef Py_ssize_t stride

    cdef int reserve(self, size_t capacity) except -1


# A Scratch of this capacity, size 0. Give it back when nothing reads it any more; if something still does (msgspec.Raw
# and memoryview fields do), the memory is theirs and the next borrower gets another.
cdef Scratch borrow_scratch(size_t capacity)
cdef int give_back(Scratch scratch) except -1
