# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""The Inspector: the sans-I/O state of one WebSocket connection."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_XDECREF
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memmove, memcpy

from framewarden.codec._deflate cimport Deflater, Inflater
from framewarden.codec._messages cimport (
    CLOSE,
    CLOSE_CODE,
    FAULT,
    FRAME_TOO_BIG,
    MESSAGE,
    MESSAGE_TOO_BIG,
    NEED_DATA,
    PING,
    RESERVED_OPCODE,
    MessageReader,
    Step,
)
from framewarden.codec._payload cimport (
    NOTHING,
    SCRATCH,
    Scratch,
    give_back,
    growing_clear,
    growing_reserve,
)
from framewarden.codec._writer cimport MessageWriter, Prepared, encode_text
from framewarden.engine._events cimport new_close, new_message, new_ping, new_pong
from framewarden.engine._scan cimport json_exceeds, json_repeats, msgpack_exceeds

import os
import time

from framewarden.codec._messages import FAULT_RULES, is_close_code
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine.plan import close_code_of, decoders_of
from framewarden.engine.schema import classify
from framewarden.errors import ArgumentError, ArgumentTypeError, ClosedError
from framewarden.policy import Policy, SecurityEvent
from framewarden.rfc6455 import CloseCode, Role, State
from framewarden.rules import RULES, Violation

cdef extern from "Python.h":
    vectorcallfunc PyVectorcall_Function(PyObject *) noexcept
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET
    PyObject *PyExc_Exception
    void PyErr_Fetch(PyObject **, PyObject **, PyObject **) noexcept
    void PyErr_NormalizeException(PyObject **, PyObject **, PyObject **) noexcept
    void PyErr_Restore(PyObject *, PyObject *, PyObject *) noexcept
    bint PyErr_GivenExceptionMatches(PyObject *, PyObject *) noexcept
    int PyException_SetTraceback(PyObject *, PyObject *) noexcept
    Py_ssize_t PyNumber_AsSsize_t(object, PyObject *) noexcept
    bint PyUnicode_IS_COMPACT_ASCII(object) noexcept
    void *PyUnicode_1BYTE_DATA(object) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object) noexcept

cdef enum:
    FIN = 0x80
    TEXT = 0x1
    BINARY = 0x2
    CLOSE_FRAME = 0x8
    PING_FRAME = 0x9
    PONG_FRAME = 0xA

MAX_EVENTS = 1024
"""The most events that one call of receive_data returns."""
MAX_EVENT_BYTES = 1024 * 1024
"""Payload bytes, inflated, after which one call of receive_data returns: a read of 64 KiB can inflate to 50 MiB."""

cdef Py_ssize_t EVENTS = MAX_EVENTS
cdef uint64_t EVENT_BYTES = MAX_EVENT_BYTES
cdef Py_ssize_t LARGEST_CONTROL = 125
cdef size_t FULL = 64 * 1024    # bytes that wait from which on the owner should take them
cdef Py_ssize_t LARGE = 64 * 1024   # characters of a str from which on a copy as bytes is handed out as it is
cdef object CLIENT = Role.CLIENT
cdef object HARDENED = Policy()

cdef object OPEN = State.OPEN
cdef object CLOSING = State.CLOSING
cdef object CLOSED = State.CLOSED
cdef object FAILED = State.FAILED


@cython.final
cdef class Inspector:
    """Inspect what a WebSocket peer sends, and write what goes back to it; no I/O.

    Feed it what the socket gave (from the byte after the opening handshake on), handle the events, send what it has to
    send::

        for event in inspector.receive_data(data):
            ...
        sock.sendall(inspector.data_to_send())

    It answers Ping and Close itself. A peer that breaks a rule fails the connection: ``violation`` says which, no event
    follows, and a Close is queued. What a peer sends never raises an exception. An Inspector is not for several threads
    at once.

    Args:
        policy: limits, schema and mode; the default is the hardened policy.
        role: Role.SERVER or "server", Role.CLIENT or "client": our end (RFC 6455 5.1).
        route: the request path, for a schema that has routes.
        subprotocol: the agreed one (RFC 6455 1.9), for a schema that has subprotocols.
        deflate: what was agreed upon (RFC 7692 7.1), or None.
        deliver: False judges data messages and makes no events of them, and applies no schema: for watching a copy of
            the traffic.
        session_id, subject, address: what security events call this connection.
        clock: seconds since the epoch; asked when a control frame comes and when a rule is broken.
        key_source: called with 4, returns that many unpredictable bytes; a client masks with them (RFC 6455 10.3).

    Raises:
        ArgumentTypeError, ArgumentError: an argument is of the wrong type, or has an impossible value.
        PolicyError: the schema cannot be compiled.
    """

    def __cinit__(self, policy=HARDENED, role="server", *, route="", subprotocol=None, deflate=None, deliver=True,
                  session_id="", subject="", address="", clock=time.time, key_source=os.urandom):
        cdef bint client = checked_role(role)
        check_type("policy", policy, Policy)
        check_type("deflate", deflate, (DeflateParameters, type(None)))
        check_type("subprotocol", subprotocol, (str, type(None)))
        check_type("deliver", deliver, bool)
        for name, value in (("route", route), ("session_id", session_id), ("subject", subject), ("address", address)):
            check_type(name, value, str)
        if not callable(clock) or not callable(key_source):
            raise ArgumentTypeError("clock and key_source must be callable")
        self.policy = policy
        self.state = OPEN
        self.close_reason = ""
        self.session_id = session_id
        self.subject = subject
        self.address = address
        self.clock = clock
        self.deliver = deliver
        self.reports = policy.mode == "report"
        self.reader = MessageReader(not client, None, clock)
        self.agree(deflate, client, key_source)
        self.apply_limits()
        self.apply_schema(route, subprotocol)

    def __dealloc__(self):
        growing_clear(&self.rest)

    cdef int agree(self, deflate, bint client, key_source) except -1:
        """Set up compression both ways; whose window is whose depends on our end."""
        if deflate is None:
            self.writer = MessageWriter(client, key_source, None, 0)
            return 0
        limits = self.policy.limits
        if not (is_window(deflate.client_max_window_bits) and is_window(deflate.server_max_window_bits)):
            raise ArgumentError("deflate: window bits must be 8 to 15 (RFC 7692 7.1.2)")
        ours = (deflate.client_max_window_bits, deflate.client_context_takeover)
        theirs = (deflate.server_max_window_bits, deflate.server_context_takeover)
        if not client:
            ours, theirs = theirs, ours
        if ours[0] < 9:
            raise ArgumentError("deflate: nothing compresses with a window of 8 bits; such an offer must be declined")
        settings = self.policy.deflate
        deflate_from = settings.min_bytes if settings is not None else 0
        deflater = Deflater(ours[0], ours[1], settings.level if settings is not None else 1)
        self.writer = MessageWriter(client, key_source, deflater, deflate_from)
        self.reader.inflater = Inflater(theirs[0], theirs[1], limits.max_inflated_bytes, limits.max_inflate_ratio)
        return 0

    cdef apply_limits(self):
        limits = self.policy.limits
        self.reader.caps.frame_bytes = limits.max_frame_bytes
        self.reader.caps.message_bytes = limits.max_message_bytes
        self.reader.caps.fragments = limits.max_fragments
        self.reader.caps.control_run = limits.max_control_run
        self.reader.caps.empty_run = limits.max_empty_run
        self.max_nodes = limits.max_decode_nodes

    cdef apply_schema(self, str route, str subprotocol):
        if not self.deliver:
            self.reader.text_kind = self.reader.binary_kind = NOTHING
            return
        self.decoders = decoders_of(self.policy, route, subprotocol)
        if self.decoders is None:
            return
        self.decode_text = new_decoder(self.decoders.text)
        self.decode_binary = new_decoder(self.decoders.binary)
        self.refuse_duplicate_keys = self.decoders.refuse_duplicate_keys
        if self.decode_text.call != NULL:
            self.reader.text_kind = SCRATCH
        if self.decode_binary.call != NULL:
            self.reader.binary_kind = SCRATCH

    # ---- What it knows

    @property
    def role(self) -> Role:
        """Our end."""
        return Role.SERVER if self.reader.server else Role.CLIENT

    @property
    def violation(self) -> Violation | None:
        """The rule that was broken, and where; None: none was."""
        if self.owed:
            self.settle()
        return self.verdict

    @property
    def has_more(self) -> bool:
        """Whether receive_data stopped at MAX_EVENTS or MAX_EVENT_BYTES and should be called again, with b"" or with
        what came since."""
        return self.rest.used > self.rest_begin

    @property
    def bytes_received(self) -> int:
        """Bytes of the inbound stream that have been judged."""
        return self.reader.consumed

    @property
    def bytes_held(self) -> int:
        """Bytes kept for this connection: unfinished messages, input and output that wait, windows of compression."""
        return self.held()

    cdef size_t held(self) except? 0:
        return self.reader.held() + self.rest.capacity + self.writer.held()

    @property
    def unfinished_frame(self) -> int | None:
        """Where in the inbound stream the frame began that has not come in completely; None: there is none."""
        if self.reader.head_size == 0 and not self.reader.in_payload:
            return None
        return self.reader.frame_offset

    @property
    def unfinished_message(self) -> int | None:
        """Where in the inbound stream the message began that has not come in completely; None: there is none."""
        return self.reader.message_offset if self.reader.message_opcode else None

    @property
    def bytes_to_send(self) -> int:
        """Bytes that data_to_send would hand out, the Close not counted."""
        return self.writer.waiting()

    # ---- Inbound

    def receive_data(self, data, size=None) -> list:
        """Inspect the next bytes of the stream.

        Time and memory are linear in what came; memory never follows what a header declares. After a violation, and
        after the peer's Close, bytes are ignored.

        Args:
            data: any contiguous buffer of bytes; nothing refers to it afterwards. b"" goes on where the last call
                stopped.
            size: how many bytes of it to read; None: all. For a receive buffer that is used again and again: it
                saves the slice.

        Returns:
            At most MAX_EVENTS events (Message, Ping, Pong, Close), in stream order; none after those that hold
            MAX_EVENT_BYTES or more. ``has_more`` says whether it stopped for that.

        Raises:
            ArgumentTypeError: data is not a buffer of bytes, or size not an int.
            ArgumentError: size is not between 0 and the size of data, or the call comes from a hook or a callback of
                this very Inspector.
            Whatever the clock or the key source raises, and KeyboardInterrupt out of a hook; the connection has failed
            then [internal-error].
            MemoryError: there is none for the list of events; the connection has failed then [out-of-memory]. Where
            memory for anything else is missing it fails as well, and nothing is raised.
        """
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            return self.receive(<uint8_t *>PyBytes_AS_STRING(data), checked_size(size, PyBytes_GET_SIZE(data)))
        get_view(data, &view)
        try:
            return self.receive(<uint8_t *>view.buf, checked_size(size, view.len))
        finally:
            PyBuffer_Release(&view)

    cdef list receive(self, const uint8_t *data, size_t size):
        cdef list events
        if self.busy:
            raise ArgumentError("receive_data was called again from inside itself")
        try:
            events = []
        except MemoryError:     # the owner cannot know that these bytes are lost
            if not self.ended:
                self.break_off("out-of-memory")
                self.stop_reading()
            raise
        self.inspect(events, data, size)
        return events

    def receive_eof(self) -> None:
        """The transport has ended. Without a Close from the peer ``close_code`` becomes 1006 (RFC 6455 7.1.5).

        What ``has_more`` says is waiting is dropped: call ``receive_data(b"")`` first, until nothing is.
        """
        if self.close_code is None:
            self.close_code = int(CloseCode.ABNORMAL_CLOSURE)
        if self.state is not FAILED:
            self.state = CLOSED
        self.ended = True
        if not self.busy:
            self.stop_reading()

    cdef int inspect(self, list events, const uint8_t *data, size_t size) except -1:
        """Steps over the buffer, or over what waits and then the buffer."""
        if self.ended:
            return 0
        self.busy = True
        try:
            if self.rest.used:
                self.append_rest(data, size)
                data = self.rest.data + self.rest_begin
                size = self.rest.used - self.rest_begin
            self.reader.begin(data, size)
            self.step(events)
            self.keep_rest(self.reader.cursor, <size_t>(self.reader.end - self.reader.cursor))
        except MemoryError:
            self.break_off("out-of-memory")
        except BaseException:
            # The clock, the key source, or KeyboardInterrupt in a hook: a byte may have been read and not been judged.
            self.break_off("internal-error")
            raise
        finally:
            self.reader.finish()
            self.busy = False
            if self.ended:
                self.stop_reading()
        return 0

    cdef void break_off(self, str rule) noexcept:
        """Fail the connection where it stands, whatever else goes wrong meanwhile."""
        self.state = FAILED
        self.ended = True
        try:
            self.break_rule(
                rule,
                RULES[rule].text,
                self.reader.consumed + <uint64_t>(self.reader.cursor - self.reader.start),
            )
        except MemoryError:
            pass    # it is owed

    cdef int step(self, list events) except -1:
        cdef MessageReader reader = self.reader
        cdef Step step
        cdef Py_ssize_t count = 0
        cdef uint64_t size = 0
        while count < EVENTS and size < EVENT_BYTES and not self.ended:    # a hook may have ended it
            step = reader.next()
            if self.ended:      # by the clock
                return 0
            if step == MESSAGE:
                if not self.deliver:
                    continue
                if not self.take_message(events):
                    return 0
                count += 1
                size += reader.message_size
            elif step == NEED_DATA:
                return 0
            elif step == FAULT:
                self.break_rule(FAULT_RULES[<int>reader.fault], self.fault_detail(), reader.fault_offset)
                return 0
            elif step == CLOSE:
                self.take_close()
                events.append(new_close(reader.close_code, <str>reader.payload))
                return 0
            else:
                if step == PING:
                    self.answer_ping(<bytes>reader.payload)
                    events.append(new_ping(<bytes>reader.payload))
                else:
                    events.append(new_pong(<bytes>reader.payload))
                count += 1
        return 0

    # ---- Input that waits

    cdef int append_rest(self, const uint8_t *data, size_t size) except -1:
        """Put new input behind what waits. What has been read is cut off when it is the larger half, so that the cost
        is linear however often the owner comes back."""
        cdef size_t waiting = self.rest.used - self.rest_begin
        if self.rest_begin >= waiting:
            memmove(self.rest.data, self.rest.data + self.rest_begin, waiting)
            self.rest.used = waiting
            self.rest_begin = 0
        if size:
            growing_reserve(&self.rest, False, size, 0)
            memcpy(self.rest.data + self.rest.used, data, size)
            self.rest.used += size
        return 0

    cdef int keep_rest(self, const uint8_t *data, size_t size) except -1:
        """What was not read waits."""
        if size == 0 or self.ended:
            self.drop_rest()
        elif self.rest.used:
            self.rest_begin = self.rest.used - size
        else:
            growing_reserve(&self.rest, False, size, size)
            memcpy(self.rest.data, data, size)
            self.rest.used = size
            self.rest_begin = 0
        return 0

    cdef void drop_rest(self) noexcept:
        growing_clear(&self.rest)
        self.rest_begin = 0

    cdef void stop_reading(self) noexcept:
        self.drop_rest()
        self.reader.abandon()

    # ---- Messages

    cdef bint take_message(self, list events) except -1:
        """Append the event of the message that the reader has finished. False: the schema refuses it."""
        cdef MessageReader reader = self.reader
        cdef object payload
        cdef bint accepted
        if self.decoders is None:
            events.append(
                new_message(reader.step_opcode, reader.payload, reader.wire_size, reader.message_size, None)
            )
            reader.payload = None
            return True
        payload = reader.payload
        if type(payload) is not Scratch:
            reader.payload = None
            return self.decode_message(events, payload)
        accepted = self.decode_message(events, payload)
        give_back(<Scratch>payload)
        return accepted

    cdef bint decode_message(self, list events, object payload) except -1:
        """Decode a message that has a schema. payload is a Scratch, or bytes (a message that came in pieces), or, if
        its opcode has no decoder, str or bytes."""
        cdef MessageReader reader = self.reader
        cdef bint text = reader.step_opcode == TEXT
        cdef Decoder *decoder = &self.decode_text if text else &self.decode_binary
        cdef PyObject *arguments[2]
        cdef PyObject *value
        if decoder.call == NULL:
            return self.refuse_message(events, payload, "schema-opcode", RULES["schema-opcode"].text)
        # No message has more values than bytes.
        if reader.message_size > self.max_nodes and self.has_too_many_nodes(payload, text):
            return self.refuse_decoded(events, payload, "decode-nodes", f"more than {self.max_nodes} values")
        arguments[1] = <PyObject *>payload
        value = decoder.call(decoder.function, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
        if value == NULL:
            error = steal(take_exception())
            if self.ended:  # a hook has ended the connection: that was the verdict
                return True
            try:
                rule, detail = classify(error, bytes(payload), self.decoders, text)
            except SystemError:
                # CPython 3.11 clears an exception on its way out of a Python function when there is no memory for the
                # frame object of the one that called it, and raises this instead.
                raise MemoryError from None
            return self.refuse_decoded(events, payload, rule, detail)
        decoded = steal(value)
        if self.ended:
            return True
        if self.refuse_duplicate_keys and text and self.repeats(payload):
            return self.refuse_decoded(events, payload, "schema-duplicate-key", RULES["schema-duplicate-key"].text)
        events.append(new_message(reader.step_opcode, decoded, reader.wire_size, reader.message_size, None))
        return True

    cdef bint refuse_decoded(self, list events, object payload, str rule, str detail) except -1:
        """Refuse what a decoder was given, or would have been."""
        cdef bytes raw
        if not self.reports:
            return self.refuse_message(events, None, rule, detail)
        raw = bytes(payload)
        return self.refuse_message(events, raw.decode() if self.reader.step_opcode == TEXT else raw, rule, detail)

    cdef bint has_too_many_nodes(self, object payload, bint text) except -1:
        cdef size_t size = <size_t>self.reader.message_size
        cdef const uint8_t *data = address_of(payload)
        return json_exceeds(data, size, self.max_nodes) if text else msgpack_exceeds(data, size, self.max_nodes)

    cdef bint repeats(self, object payload) except -1:
        return json_repeats(address_of(payload), <size_t>self.reader.message_size)

    cdef bint refuse_message(self, list events, object payload, str rule, str detail) except -1:
        """Fail the connection, or in the mode "report" deliver what cannot be decoded as it is. The budget, our own
        failures and the lack of memory are always enforced."""
        cdef MessageReader reader = self.reader
        cdef uint64_t offset = reader.message_offset
        if not self.reports or rule not in REPORTED:
            self.break_rule(rule, detail, offset)
            return False
        would_refuse = Violation(rule, close_code_of(self.policy, rule), offset, detail)
        self.tell(rule, "report", offset)
        if self.ended:      # by the callback
            return True
        events.append(new_message(reader.step_opcode, payload, reader.wire_size, reader.message_size, would_refuse))
        return True

    # ---- 5.5. Control frames, 7.1. Closing

    cdef int answer_ping(self, bytes data) except -1:
        """5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it already
        received a Close frame"; and nothing follows our own Close."""
        if self.close_sent:
            return 0
        try:
            self.writer.write_frame(
                FIN | PONG_FRAME, <uint8_t *>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data)
            )
        except MemoryError:
            self.writer.drop()
            raise
        return 0

    cdef int take_close(self) except -1:
        """5.5.1: "the endpoint MUST send a Close frame in response", typically with the code it received."""
        cdef MessageReader reader = self.reader
        self.close_received = self.ended = True
        self.close_code = reader.close_code
        self.close_reason = <str>reader.payload
        if self.close_sent:
            self.state = CLOSED
            return 0
        self.state = CLOSING
        if self.close_frame is None:
            self.queue_close(None if reader.close_code == 1005 else reader.close_code, b"")
        return 0

    cdef int queue_close(self, code, bytes reason) except -1:
        """Our Close waits beside the other frames: it is always the last to go out."""
        cdef bytes body = b"" if code is None else int(code).to_bytes(2, "big") + reason
        cdef MessageWriter writer = MessageWriter(self.writer.client, self.writer.key_source, None, 0)
        writer.write_frame(FIN | CLOSE_FRAME, <uint8_t *>PyBytes_AS_STRING(body), <size_t>PyBytes_GET_SIZE(body))
        self.close_frame = writer.take()
        return 0

    # ---- 7.1.7. Fail the WebSocket Connection

    def fail(self, rule, detail="") -> None:
        """Fail the connection for a rule that its owner judges ("handler-error", "idle-timeout", ...).

        A Close with the rule's code is queued, nothing more is read. Does nothing if the connection has failed or is
        closed.

        Args:
            rule: id of a rule that has a close code.
            detail: for the log; not sent.

        Raises:
            ArgumentTypeError: rule or detail is not a str.
            ArgumentError: there is no such rule, or it has no close code.
        """
        check_type("rule", rule, str)
        check_type("detail", detail, str)
        if rule not in RULES or RULES[rule].close_code is None:
            raise ArgumentError(f"there is no rule {rule!r} with a close code")
        if self.state is not FAILED and self.state is not CLOSED:
            self.break_rule(rule, detail or RULES[rule].text, self.reader.consumed)
            if not self.busy:
                self.stop_reading()

    cdef int break_rule(self, str rule, str detail, uint64_t offset) except -1:
        if self.broken is None:     # the first rule is the verdict
            self.state = FAILED
            self.ended = True
            self.broken = rule
            self.broken_detail = detail
            self.broken_at = offset
            self.owed = OWES_VERDICT
        return self.settle()

    cdef int settle(self) except -1:
        """Say which rule was broken: to the owner, to the peer, to the callback. Each is done once; where memory is
        short, the rest is done at the next call that needs it."""
        if not self.owed:
            return 0
        code = close_code_of(self.policy, self.broken)
        if self.owed == OWES_VERDICT:
            self.verdict = Violation(self.broken, code, self.broken_at, self.broken_detail)
            self.owed = OWES_CLOSE
        if self.owed == OWES_CLOSE:
            self.owed = OWES_EVENT  # what the key source raises is raised once; without a key there is no Close
            try:
                if not self.close_sent:
                    self.queue_close(code, self.broken.encode())
            except MemoryError:
                self.owed = OWES_CLOSE
                raise
        if not self.owed:       # the key source has come back here
            return 0
        self.owed = NOTHING_OWED    # so may the callback
        try:
            self.tell(self.broken, "fail", self.broken_at)
        except MemoryError:
            self.owed = OWES_EVENT
            raise
        return 0

    cdef int tell(self, str rule, str action, uint64_t offset) except -1:
        """Security events; what the callback raises is not the peer's business."""
        on_event = self.policy.on_event
        if on_event is None:
            return 0
        call_hook(
            on_event,
            SecurityEvent(
                rule=rule,
                action=action,
                session_id=self.session_id,
                subject=self.subject,
                address=self.address,
                offset=offset,
                time=self.clock(),
            ),
        )
        return 0

    cdef str fault_detail(self):
        """The rule's text, with the numbers that an operator asks for first."""
        cdef MessageReader reader = self.reader
        text = RULES[FAULT_RULES[<int>reader.fault]].text
        if reader.fault == FRAME_TOO_BIG:
            return f"{text}: {reader.frame_size} of {reader.caps.frame_bytes} bytes"
        if reader.fault == MESSAGE_TOO_BIG:
            return f"{text}: {reader.wire_size + reader.frame_size} of {reader.caps.message_bytes} bytes"
        if reader.fault == CLOSE_CODE:
            return f"{text}: {reader.close_code}"
        if reader.fault == RESERVED_OPCODE:
            return f"{text}: 0x{reader.opcode:X}"
        return text

    # ---- Outbound

    def data_to_send(self) -> bytes:
        """Everything that waits to be sent, in order, a Close last; b"" if nothing does.

        Once a Close has been handed out, nothing more can be sent (RFC 6455 5.5.1).
        """
        return self.take_data()

    cdef bytes take_data(self):
        cdef bytes data
        self.settle()
        try:
            data = self.writer.take()
            if self.close_frame is not None:
                data += self.close_frame
        except MemoryError:
            self.lose_output()
            raise
        if self.close_frame is not None:
            self.close_handed_out()
        return data

    def buffers_to_send(self) -> list:
        """As data_to_send, but as a list of bytes for a gathered write (writelines, sendmsg): payloads of 64 KiB and
        more are the objects that were sent, not copies."""
        return self.take_buffers()

    cdef list take_buffers(self):
        cdef list buffers
        self.settle()
        buffers = self.take_pieces()
        if self.close_frame is None:
            return buffers
        try:
            if len(buffers) == 1 and len(<bytes>buffers[0]) < LARGE:
                buffers[0] = <bytes>buffers[0] + self.close_frame
            else:
                buffers.append(self.close_frame)
        except MemoryError:
            self.lose_output()
            raise
        self.close_handed_out()
        return buffers

    cdef list take_pieces(self):
        try:
            return self.writer.take_pieces()
        except MemoryError:
            self.lose_output()
            raise

    cdef int close_handed_out(self) except -1:
        self.close_frame = None
        self.close_sent = True
        if self.writer.deflater is not None:
            self.writer.deflater.stream = None  # nothing more is sent
        if self.close_received and self.state is CLOSING:
            self.state = CLOSED
        return 0

    def send_text(self, text) -> bool:
        """Queue a Text message (RFC 6455 5.6), compressed if that was agreed upon and it is large enough.

        Returns:
            Whether 64 KiB or more wait now: time to take them, so that not all of a burst is kept here.

        Raises:
            ArgumentTypeError: text is not a str.
            ArgumentError: text has half of a surrogate pair, which UTF-8 cannot carry; or a fragmented message has
                begun.
            ClosedError: our Close has been handed out, or the connection has failed in the middle of a fragmented
                message.
        """
        check_type("text", text, str)
        return self.put_text(text)

    cdef bint put_text(self, str text) except -1:
        cdef bytes encoded
        cdef Py_ssize_t size
        if self.close_sent or self.writer.fragmented or self.state is CLOSED:
            self.check_whole()
        try:
            if PyUnicode_IS_COMPACT_ASCII(text):
                size = PyUnicode_GET_LENGTH(text)
                if size < LARGE:
                    self.writer.write_message(TEXT, text, <uint8_t *>PyUnicode_1BYTE_DATA(text), <size_t>size)
                    return self.writer.waiting() >= FULL
            encoded = encode_text(text)
            self.writer.write_message(TEXT, encoded, <uint8_t *>PyBytes_AS_STRING(encoded), <size_t>len(encoded))
        except MemoryError:
            self.lose_output()
            raise
        return self.writer.waiting() >= FULL

    def send_bytes(self, data) -> bool:
        """Queue a Binary message (RFC 6455 5.6), compressed if that was agreed upon and it is large enough.

        Returns:
            As send_text.

        Raises:
            ArgumentTypeError: data is not a contiguous buffer of bytes.
            ArgumentError: a fragmented message has begun.
            ClosedError: our Close has been handed out.
        """
        return self.put_bytes(data)

    cdef bint put_bytes(self, object data) except -1:
        cdef Py_buffer view
        if self.close_sent or self.writer.fragmented or self.state is CLOSED:
            self.check_whole()
        get_view(data, &view)
        try:
            self.writer.write_message(BINARY, data, <uint8_t *>view.buf, <size_t>view.len)
        except MemoryError:
            self.lose_output()
            raise
        finally:
            PyBuffer_Release(&view)
        return self.writer.waiting() >= FULL

    def send_prepared(self, message) -> bool:
        """Queue a message that prepare() has framed once for many connections.

        Returns:
            As send_text.

        Raises:
            ArgumentTypeError: message was not made by prepare().
            ArgumentError: a fragmented message has begun.
            ClosedError: our Close has been handed out.
        """
        check_type("message", message, Prepared)
        return self.put_prepared(message)

    cdef bint put_prepared(self, Prepared message) except -1:
        if self.close_sent or self.writer.fragmented or self.state is CLOSED:
            self.check_whole()
        try:
            self.writer.write_prepared(message)
        except MemoryError:
            self.lose_output()
            raise
        return self.writer.waiting() >= FULL

    def send_fragment(self, data, final=False) -> bool:
        """Queue one fragment of a message whose end is not known yet (RFC 6455 5.4). It is not compressed.

        Until the final one only Ping and Close can be sent beside it.

        Args:
            data: str for a Text message, a buffer of bytes for a Binary one; the same kind for all of a message.
            final: this is the last one.

        Returns:
            As send_text.

        Raises:
            ArgumentTypeError: data is of another kind, also than the fragments before it.
            ArgumentError: a str with half of a surrogate pair.
            ClosedError: our Close has been handed out, or the fragments before it were lost for want of memory.
        """
        cdef Py_buffer view
        cdef uint8_t opcode = TEXT if isinstance(data, str) else BINARY
        check_type("final", final, bool)
        self.check_open()
        if self.writer.beginning_lost:
            raise ClosedError("the connection has failed in the middle of a fragmented message")
        if self.writer.fragmented and self.writer.fragmented != opcode:
            raise ArgumentTypeError("all fragments of a message must be str, or all bytes")
        if opcode == TEXT:
            data = encode_text(data)
        get_view(data, &view)
        try:
            self.put_fragment(opcode, data, <uint8_t *>view.buf, <size_t>view.len, final)
        finally:
            PyBuffer_Release(&view)
        return self.writer.waiting() >= FULL

    cdef int put_fragment(self, uint8_t opcode, object payload, const uint8_t *data, size_t size, bint final) except -1:
        try:
            self.writer.write_fragment(opcode, payload, data, size, final)
        except MemoryError:
            self.lose_output()
            raise
        return 0

    def send_ping(self, data=b"") -> None:
        """Queue a Ping (RFC 6455 5.5.2).

        Args:
            data: 0 to 125 bytes; the Pong brings them back.

        Raises:
            ArgumentTypeError: data is not bytes.
            ArgumentError: data is longer than 125 bytes.
            ClosedError: our Close has been handed out.
        """
        check_type("data", data, bytes)
        if len(data) > LARGEST_CONTROL:
            raise ArgumentError(f"a Ping carries at most {LARGEST_CONTROL} bytes, not {len(data)}")
        self.check_open()
        try:
            self.writer.write_frame(
                FIN | PING_FRAME, <uint8_t *>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data)
            )
        except MemoryError:
            self.lose_output()
            raise

    def send_close(self, code=1000, reason="") -> None:
        """Queue our Close (RFC 6455 7.1.2). It is the last frame that data_to_send hands out; messages are still
        received until the peer's Close comes. Does nothing if a Close waits already.

        Args:
            code: 1000 to 1003, 1007 to 1014 or 3000 to 4999; None: a Close without a code.
            reason: at most 123 bytes of UTF-8.

        Raises:
            ArgumentTypeError: code is not an int or None, reason not a str.
            ArgumentError: the code must not be sent (RFC 6455 7.4), or the reason is too long or not encodable.
            ClosedError: our Close has been handed out.
        """
        if isinstance(code, bool):
            raise ArgumentTypeError("code must be int or None, not bool")
        check_type("code", code, (int, type(None)))
        check_type("reason", reason, str)
        if code is None and reason:
            raise ArgumentError("a Close without a code has no reason")
        if code is not None and not (0 <= code <= 65535 and is_close_code(code)):
            raise ArgumentError(f"close code {code} must not be sent: 1000-1003, 1007-1014 and 3000-4999 may be")
        try:
            octets = (<str>reason).encode()
        except UnicodeEncodeError:
            raise ArgumentError("reason has half of a surrogate pair") from None
        if len(octets) > LARGEST_CONTROL - 2:
            raise ArgumentError(f"reason must be at most {LARGEST_CONTROL - 2} bytes of UTF-8, not {len(octets)}")
        self.check_open()
        if self.close_frame is None:
            self.queue_close(code, octets)
            if self.state is OPEN:
                self.state = CLOSING

    cdef int check_open(self) except -1:
        if self.close_sent or self.state is CLOSED:
            raise ClosedError("nothing can be sent after the Close (RFC 6455 5.5.1)")
        return 0

    cdef int check_whole(self) except -1:
        """A message may be sent: nothing has ended, and none is being sent in fragments."""
        self.check_open()
        if self.writer.fragmented:
            if self.state is FAILED:
                raise ClosedError("the connection has failed in the middle of a fragmented message")
            raise ArgumentError("a fragmented message has begun: send its final fragment first (RFC 6455 5.4)")
        return 0

    cdef int lose_output(self) except -1:
        """There was no memory for a frame. What waited is lost with it: the stream cannot go on."""
        self.writer.drop()
        self.break_rule("out-of-memory", RULES["out-of-memory"].text, self.reader.consumed)
        return 0


cdef Decoder new_decoder(object function) except *:
    cdef Decoder decoder
    decoder.function = NULL
    decoder.call = NULL
    if function is not None:
        decoder.function = <PyObject *>function
        decoder.call = PyVectorcall_Function(decoder.function)
        if decoder.call == NULL:
            raise TypeError("msgspec's decode method cannot be called by PEP 590")
    return decoder


cdef PyObject *take_exception() except NULL:
    """The exception that is set, as a new reference; one that ends the program is raised again.

    Not by try and except: that would add our own frame to the traceback, by which classify() knows the hooks' own
    failures, and has been seen to crash when there was no memory for that frame.
    """
    cdef PyObject *kind = NULL
    cdef PyObject *error = NULL
    cdef PyObject *traceback = NULL
    PyErr_Fetch(&kind, &error, &traceback)
    if kind == NULL:
        raise MemoryError
    PyErr_NormalizeException(&kind, &error, &traceback)
    if traceback != NULL:
        PyException_SetTraceback(error, traceback)
    if not PyErr_GivenExceptionMatches(error, PyExc_Exception):
        PyErr_Restore(kind, error, traceback)
        return NULL
    Py_DECREF(<object>kind)
    Py_XDECREF(traceback)
    return error


cdef object steal(PyObject *reference):
    """The object of a new reference."""
    result = <object>reference
    Py_DECREF(result)
    return result


cdef void call_hook(object hook, object event) noexcept:
    """An exception ends here, and goes to sys.unraisablehook."""
    hook(event)


cdef const uint8_t *address_of(object payload) except NULL:
    """Of a payload that a decoder is given."""
    if type(payload) is Scratch:
        return (<Scratch>payload).data
    return <uint8_t *>PyBytes_AS_STRING(<bytes>payload)


cdef int get_view(object data, Py_buffer *view) except -1:
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except (TypeError, BufferError, ValueError):
        raise ArgumentTypeError(f"data must be a contiguous buffer of bytes, not {type(data).__name__}") from None
    return 0


cdef size_t checked_size(object size, Py_ssize_t available) except? 0:
    """How many bytes of a buffer to read."""
    cdef Py_ssize_t wanted
    if size is None:
        return <size_t>available
    if type(size) is not int:
        check_type("size", size, int)
    wanted = PyNumber_AsSsize_t(size, NULL)     # too large a number becomes the largest
    if not 0 <= wanted <= available:
        raise ArgumentError(f"size must be 0 to {available}, the size of data, not {size}")
    return <size_t>wanted


cdef int check_type(str name, object value, object kind) except -1:
    if not isinstance(value, kind):
        # Not by a comprehension: without memory for its list Cython 3.3 frees each item twice.
        names = ""
        for one in kind if isinstance(kind, tuple) else (kind,):
            names += (" or " if names else "") + ("None" if one is type(None) else one.__name__)
        raise ArgumentTypeError(f"{name} must be {names}, not {type(value).__name__}")
    return 0


cdef bint is_window(bits) except -1:
    return type(bits) is int and 8 <= bits <= 15


cdef bint checked_role(role) except -1:
    """True for a client."""
    try:
        return Role(role) is CLIENT
    except ValueError:
        raise ArgumentError("role must be 'server' or 'client'") from None


REPORTED = frozenset(
    {
        "schema-opcode",
        "schema-malformed",
        "schema-mismatch",
        "schema-depth",
        "schema-number",
        "schema-surrogate",
        "schema-unicode",
        "schema-duplicate-key",
    }
)
"""Rules that the mode "report" only reports."""
