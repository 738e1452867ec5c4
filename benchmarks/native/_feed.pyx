# cython: language_level=3
"""How an event loop hands bytes over. Each read is one copy, which the kernel makes where there is a socket."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef Py_ssize_t LARGEST_READ = 65536


def to_buffered_protocol(get_buffer, buffer_updated, list reads):
    """As uvloop drives an asyncio.BufferedProtocol; a read that finds less room is taken up by the next one."""
    cdef Py_buffer room
    cdef Py_ssize_t done, n
    cdef bytes data
    for data in reads:
        done = 0
        while done < PyBytes_GET_SIZE(data):
            view = get_buffer(65536)
            PyObject_GetBuffer(view, &room, PyBUF_WRITABLE)
            n = min(room.len, PyBytes_GET_SIZE(data) - done)
            memcpy(room.buf, PyBytes_AS_STRING(data) + done, n)
            PyBuffer_Release(&room)
            buffer_updated(n)
            done += n


def to_one_buffer(receive_data, Py_ssize_t most_events, list reads):
    """As a loop calls an asyncio.BufferedProtocol: a read is copied into one buffer that is used again and again. An
    Inspector that returns as many events as it ever does at once is called again until it has no more."""
    cdef bytes data
    buffer = bytearray(LARGEST_READ)
    cdef char *target = PyByteArray_AS_STRING(buffer)
    for data in reads:
        memcpy(target, PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))
        events = receive_data(buffer, PyBytes_GET_SIZE(data))
        while len(<list>events) == most_events:
            events = receive_data(b"")
