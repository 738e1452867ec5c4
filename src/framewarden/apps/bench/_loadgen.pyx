# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
# cython: autotestdict=False
"""The load generator of ``ext/loadgen`` for Python. The GIL is released while it works."""

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import base64
import hashlib
import os
import socket

cimport cython


cdef extern from "loadgen.h" nogil:
    enum: LOAD_ERRORS

    ctypedef struct load_options:
        uint32_t address
        uint16_t port
        const uint32_t *sources
        size_t source_count
        const char *head
        size_t head_size
        const char *accept
        int may_extend
        size_t connections
        uint64_t timeout

    ctypedef struct load_report:
        uint64_t connections
        uint64_t messages
        uint64_t bytes_sent
        uint64_t bytes_received
        uint64_t pings
        uint64_t extensions
        const uint64_t *errors
        const int64_t *details
        uint64_t wall
        uint64_t cpu
        uint64_t longest

    ctypedef struct load_generator:
        pass

    const char *load_error_name(int error)
    load_generator *load_new(const load_options *options, uint64_t seed)
    void load_free(load_generator *it)
    int load_start_open(load_generator *it, size_t at_once)
    int load_start_exchange(
        load_generator *it, uint8_t opcode, size_t size, uint32_t in_flight, uint32_t refill, uint64_t messages,
        uint64_t ns
    )
    int load_start_hold(load_generator *it, uint64_t ns, int until)
    int load_start_close(load_generator *it, size_t at_once)
    int load_start_refused(load_generator *it, uint64_t count, size_t at_once, int status)
    int load_step(load_generator *it, uint64_t ns)
    const load_report *load_report_of(const load_generator *it)
    uint64_t load_quantile(const load_report *report, double share)


GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
MOST_CONNECTIONS = 1 << 22
LARGEST_MESSAGE = 1 << 28

cdef enum: SLICE_NS = 100_000_000  # how long a signal may wait to be seen


def head(str host, port, key, path="/", headers=()):
    """The request of the opening handshake (RFC 6455 4.1). ``headers`` are further lines, without their ends."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@cython.final
cdef class Load:
    """Many WebSocket clients on one thread. Every method is a phase, works until it is over, and returns a report.

    A connection that goes wrong is closed and counted in ``errors``; no method raises because of what a server does.
    All connections send one key in the opening handshake, new with every object; masking-keys are new with every frame.

    A report is a dict: ``connections`` that are open now; ``messages`` answered rightly (refused: responses with the
    expected status; close: connections closed in order); ``bytes_sent``, ``bytes_received``; ``pings`` of the server
    that were answered; ``extensions``: handshakes with an extension agreed on; ``seconds`` and ``cpu_seconds`` (of this
    thread); ``errors``: how many by kind, and ``details``: of the first of each kind, what ``loadgen.h`` says;
    ``latency``: p50, p90, p99 and max in seconds, at most 1/32 too high, of what the phase is about: answers, whole
    opening handshakes, refusals, closing handshakes.

    Args:
        host: IPv4 address of the server.
        port: its TCP port.
        connections: how many, 1 to 4,194,304.
        sources: IPv4 addresses to connect from, taken in turn; each has about 28,000 ports. None: the kernel chooses.
        path: request path.
        headers: further header lines of the request; with Sec-WebSocket-Extensions the server may agree on one, but
            no message is sent by it, and an answer that uses it is an error.
        timeout: seconds that a handshake, each answer and a closing handshake may take.

    Raises:
        ValueError: an argument is out of its range.
        OSError: no epoll.
    """

    cdef load_generator *_it
    cdef bint _working

    def __init__(self, str host, port, *, connections=1, sources=(), path="/", headers=(), timeout=10.0):
        cdef load_options options
        if self._it != NULL:
            raise RuntimeError("made already")
        if not 0 < connections <= MOST_CONNECTIONS:
            raise ValueError(f"connections must be 1 to {MOST_CONNECTIONS}, not {connections}")
        if not 0 < timeout <= 86400:
            raise ValueError(f"timeout must be above 0 and at most 86400 seconds, not {timeout}")
        if not 0 < port < 65536:
            raise ValueError(f"port must be 1 to 65535, not {port}")
        key = base64.b64encode(os.urandom(16))
        request = head(host, port, key.decode(), path, headers)
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        cdef uint32_t address
        found = list(map(socket.inet_aton, (host, *sources)))
        memcpy(&address, <const char *>found[0], 4)
        packed = b"".join(found[1:])
        # malloc'ed memory is aligned, which an object's octets need not be.
        cdef uint32_t *copy = <uint32_t *>PyMem_Malloc(<size_t>len(packed) + 4)
        if copy == NULL:
            raise MemoryError
        memcpy(copy, <const char *>packed, <size_t>len(packed))
        options.address = address
        options.port = port
        options.sources = copy
        options.source_count = <size_t>(len(found) - 1)
        options.head = request
        options.head_size = <size_t>len(request)
        options.accept = accept
        options.may_extend = any(each.lower().startswith("sec-websocket-extensions:") for each in headers)
        options.connections = connections
        options.timeout = <uint64_t>(timeout * 1e9)
        self._it = load_new(&options, int.from_bytes(os.urandom(8), "little"))
        PyMem_Free(copy)
        if self._it == NULL:
            raise OSError("the load generator cannot be made: no memory, or no epoll")

    def __dealloc__(self):
        load_free(self._it)

    def open(self, *, at_once=128):
        """Open all connections that are not open, at most ``at_once`` in their handshake at a time."""
        _check("at_once", at_once, MOST_CONNECTIONS)
        self._begin()
        return self._run(load_start_open(self._it, at_once))

    def exchange(self, *, size, opcode=1, in_flight=1, refill=None, messages=None, seconds=None):
        """Send messages on every open connection, and check their echoes.

        Args:
            size: octets of a message, printable ASCII.
            opcode: 1 (Text) or 2 (Binary).
            in_flight: messages of one connection that may be unanswered.
            refill: send again once so many of them are free, in one write; None: as soon as there is one.
            messages: how many on each connection, or
            seconds: how long to go on sending. One of the two.
        """
        if not 0 <= size <= LARGEST_MESSAGE:
            raise ValueError(f"size must be 0 to {LARGEST_MESSAGE} octets, not {size}")
        if opcode not in (1, 2):
            raise ValueError(f"opcode must be 1 or 2, not {opcode}")
        if (messages is None) == (seconds is None):
            raise ValueError("give messages or seconds, one of them")
        refill = 1 if refill is None else refill
        _check("in_flight", in_flight, 1 << 20)
        _check("refill", refill, in_flight)
        cdef uint64_t ns = _ns(seconds)
        cdef uint64_t count = <uint64_t>1 << 63
        if messages is not None:
            _check("messages", messages, 1 << 31)
            count = messages
        self._begin()
        return self._run(load_start_exchange(self._it, opcode, size, in_flight, refill, count, ns))

    def hold(self, *, seconds=None, until=-1):
        """Answer Pings for some seconds, or until the file descriptor ``until`` can be read."""
        if seconds is None and until < 0:
            raise ValueError("give seconds or until, or the hold has no end")
        cdef uint64_t ns = _ns(seconds)
        self._begin()
        return self._run(load_start_hold(self._it, ns, until))

    def close(self, *, at_once=1024):
        """Do the closing handshake with 1000 on every open connection, at most ``at_once`` at a time."""
        _check("at_once", at_once, MOST_CONNECTIONS)
        self._begin()
        return self._run(load_start_close(self._it, at_once))

    def refused(self, count, *, at_once=16, status=401):
        """Be refused ``count`` times: connect, send the request, read until the server closes, expect ``status``."""
        _check("count", count, 1 << 31)
        _check("at_once", at_once, MOST_CONNECTIONS)
        if self._it != NULL and load_report_of(self._it).connections:
            raise ValueError("close the open connections first")
        self._begin()
        return self._run(load_start_refused(self._it, count, at_once, status))

    cdef int _begin(self) except -1:
        if self._it == NULL:
            raise RuntimeError("not made, or broken off by an exception: make another one")
        if self._working:
            raise RuntimeError("one phase at a time")
        self._working = True
        return 0

    cdef dict _run(self, int started):
        cdef int more = 1
        try:
            if started < 0:
                raise MemoryError("no memory for this phase, or a file descriptor that cannot be waited for")
            while more:
                with nogil:
                    more = load_step(self._it, SLICE_NS)
                PyErr_CheckSignals()
            return _dict(load_report_of(self._it))
        except BaseException:
            # A message may be half received, and the next phase would measure the rest of it by a size of its own.
            load_free(self._it)
            self._it = NULL
            raise
        finally:
            self._working = False


cdef int _check(str name, value, most) except -1:
    if not 0 < value <= most:
        raise ValueError(f"{name} must be 1 to {most}, not {value}")
    return 0


cdef uint64_t _ns(seconds) except? 0:
    if seconds is None:
        return 0
    if not 0 < seconds <= 86400:
        raise ValueError(f"seconds must be above 0 and at most 86400, not {seconds}")
    return <uint64_t>(seconds * 1e9) + 1


cdef dict _dict(const load_report *report):
    cdef int kind
    errors, details = {}, {}
    for kind in range(1, LOAD_ERRORS):
        if report.errors[kind]:
            name = load_error_name(kind).decode("ascii")
            errors[name] = report.errors[kind]
            details[name] = report.details[kind]
    return {
        "connections": report.connections,
        "messages": report.messages,
        "bytes_sent": report.bytes_sent,
        "bytes_received": report.bytes_received,
        "pings": report.pings,
        "extensions": report.extensions,
        "seconds": report.wall / 1e9,
        "cpu_seconds": report.cpu / 1e9,
        "errors": errors,
        "details": details,
        "latency": {
            "p50": load_quantile(report, 0.5) / 1e9,
            "p90": load_quantile(report, 0.9) / 1e9,
            "p99": load_quantile(report, 0.99) / 1e9,
            "max": report.longest / 1e9,
        },
    }
