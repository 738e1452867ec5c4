# cython: language_level=3
"""What an Inspector reports."""

from libc.stdint cimport uint8_t, uint64_t


cdef class Message:
    cdef uint8_t code
    cdef readonly object data
    cdef readonly uint64_t wire_bytes
    cdef readonly uint64_t inflated_bytes
    cdef readonly object would_refuse


cdef class Ping:
    cdef readonly bytes data


cdef class Pong:
    cdef readonly bytes data


cdef class Close:
    cdef readonly int code
    cdef readonly str reason


cdef Message new_message(uint8_t opcode, object data, uint64_t wire_bytes, uint64_t inflated_bytes, object would_refuse)
cdef Ping new_ping(bytes data)
cdef Pong new_pong(bytes data)
cdef Close new_close(int code, str reason)
