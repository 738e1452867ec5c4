# cython: language_level=3
"""picows as fast as it can be used: a compiled listener that makes the object and drops it."""

from picows.picows cimport WSFrame, WSListener, WSTransport


cdef class Listener(WSListener):
    """Counts data frames. ``make`` says what becomes of a payload: "text", "bytes", or "" (nothing: unmasked only)."""

    cdef public Py_ssize_t messages
    cdef bint _text
    cdef bint _bytes

    def __init__(self, make):
        self._text = make == "text"
        self._bytes = make == "bytes"

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if self._text:
            frame.get_payload_as_utf8_text()
        elif self._bytes:
            frame.get_payload_as_bytes()
        self.messages += 1


cdef class Decoder(WSListener):
    """Gives every payload to ``decode``, as ``bytes``."""

    cdef public Py_ssize_t messages
    cdef object _decode

    def __init__(self, decode):
        self._decode = decode

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        self._decode(frame.get_payload_as_bytes())
        self.messages += 1
