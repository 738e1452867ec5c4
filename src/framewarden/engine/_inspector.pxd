# cython: language_level=3
"""The Inspector, for the compiled modules that drive it."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from framewarden.codec._messages cimport MessageReader
from framewarden.codec._payload cimport Growing
from framewarden.codec._writer cimport MessageWriter, Prepared

cdef extern from "Python.h":
    ctypedef PyObject *(*vectorcallfunc)(PyObject *, PyObject **, size_t, PyObject *) noexcept    # NULL: exception set


cdef struct Decoder:
    # A decode method and how to call it, looked up once (PEP 590); all NULL: the schema has no type for the opcode.
    # The Decoders of the connection keep it alive.
    PyObject *function
    vectorcallfunc call


cdef enum Owed:     # after a rule was broken, in this order
    NOTHING_OWED = 0
    OWES_EVENT
    OWES_CLOSE
    OWES_VERDICT


cdef class Inspector:
    cdef object __weakref__
    cdef readonly object policy
    cdef readonly object state
    cdef readonly object close_code
    cdef readonly str close_reason
    cdef readonly str session_id
    cdef public str subject
    cdef readonly str address
    cdef object clock
    cdef object decoders
    cdef Decoder decode_text
    cdef Decoder decode_binary
    cdef MessageReader reader
    cdef MessageWriter writer
    cdef size_t max_nodes
    cdef bint refuse_duplicate_keys
    cdef bint deliver
    cdef bint reports
    cdef bint busy
    cdef bint close_received
    cdef bint ended             # nothing more is read: a Close has come, the transport ended or a rule was broken
    # The rule that was broken, and what is still to be done about it; see settle().
    cdef str broken
    cdef str broken_detail
    cdef uint64_t broken_at
    cdef Owed owed
    cdef object verdict         # the Violation
    cdef bytes close_frame      # ours, until data_to_send() has handed it out
    cdef bint close_sent
    cdef Growing rest           # input that waits for the next call
    cdef size_t rest_begin

    # What receive_data does, on memory that stays as it is meanwhile.
    cdef list receive(self, const uint8_t *data, size_t size)
    # Bytes kept for this connection.
    cdef size_t held(self) except? 0
    # The public methods of these names; True: 64 KiB or more wait to be taken.
    cdef bint put_text(self, str text) except -1
    cdef bint put_bytes(self, object data) except -1
    cdef bint put_prepared(self, Prepared message) except -1
    cdef list take_buffers(self)
    # Do what is owed after a broken rule; nothing is, unless memory was short.
    cdef int settle(self) except -1

    # Its own steps.
    cdef int agree(self, deflate, bint client, key_source) except -1
    cdef apply_limits(self)
    cdef apply_schema(self, str route, str subprotocol)
    cdef int inspect(self, list events, const uint8_t *data, size_t size) except -1
    cdef void break_off(self, str rule) noexcept
    cdef int step(self, list events) except -1
    cdef int append_rest(self, const uint8_t *data, size_t size) except -1
    cdef int keep_rest(self, const uint8_t *data, size_t size) except -1
    cdef void drop_rest(self) noexcept
    cdef void stop_reading(self) noexcept
    cdef bint take_message(self, list events) except -1
    cdef bint decode_message(self, list events, object payload) except -1
    cdef bint refuse_decoded(self, list events, object payload, str rule, str detail) except -1
    cdef bint has_too_many_nodes(self, object payload, bint text) except -1
    cdef bint repeats(self, object payload) except -1
    cdef bint refuse_message(self, list events, object payload, str rule, str detail) except -1
    cdef int answer_ping(self, bytes data) except -1
    cdef int take_close(self) except -1
    cdef int queue_close(self, code, bytes reason) except -1
    cdef int break_rule(self, str rule, str detail, uint64_t offset) except -1
    cdef int tell(self, str rule, str action, uint64_t offset) except -1
    cdef str fault_detail(self)
    cdef bytes take_data(self)
    cdef list take_pieces(self)
    cdef int check_open(self) except -1
    cdef int lose_output(self) except -1
    cdef int close_handed_out(self) except -1
    cdef int put_fragment(self, uint8_t opcode, object payload, const uint8_t *data, size_t size, bint final) except -1
    cdef int check_whole(self) except -1
