# cython: language_level=3
"""What a decoder cannot be asked to count: the values of a message, and names that come twice."""

from libc.stdint cimport uint8_t

# Whether a message has more than limit values and names; stops when it knows. Malformed input is counted as far as it
# can be read: the decoder refuses it afterwards.
cdef bint json_exceeds(const uint8_t *data, size_t size, size_t limit) noexcept nogil
cdef bint msgpack_exceeds(const uint8_t *data, size_t size, size_t limit) noexcept nogil

# Whether an object of a valid JSON text has a name twice. Raises MemoryError.
cdef bint json_repeats(const uint8_t *data, size_t size) except -1
