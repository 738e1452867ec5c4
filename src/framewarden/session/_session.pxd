# cython: language_level=3
"""A connected peer, and what carries it."""

from framewarden.codec._writer cimport Prepared
from framewarden.engine._inspector cimport Inspector


cdef class Link:
    # A flush comes in any case: what is sent meanwhile leaves in one write.
    cdef public bint flushing
    # Nothing can leave just now: messages are given to put().
    cdef public bint blocked

    cpdef wake(self)
    cpdef relieve(self)
    cpdef put(self, Prepared message, object key)
    cpdef wait_drained(self, bint all)
    cpdef set_streaming(self, bint streaming)
    cpdef find_peer(self)


cdef class Session:
    cdef object __weakref__
    cdef readonly str id
    cdef readonly object identity
    cdef readonly str subprotocol
    cdef readonly str path
    cdef readonly str query
    cdef public object context
    cdef Inspector inspector
    cdef Link link
    cdef object streaming       # asyncio.Lock of stream(); None: it was never called
    cdef double trip
    cdef readonly unsigned long long dropped
    cdef bint messagepack

    cdef object encoded(self, object data)
    cdef Prepared prepared(self, object data)
    cdef object deliver(self, Prepared message, object key)
    cdef int written(self, bint full) except -1
