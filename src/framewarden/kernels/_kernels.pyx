# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
# cython: autotestdict=False
"""Choose an implementation, and call it from Python.

The hot path does not come through here: the codec calls the table of ``_kernels.pxd``. These functions are for tests,
for users who want one pass alone, and for choosing.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

import os

cimport cython

from framewarden.kernels._errors import Utf8Error


cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    const Py_ssize_t PY_SSIZE_T_MAX


def available():
    """Return the names of the implementations that this build has and this CPU supports, best first.

    The last is ``"scalar"``, which is always there.
    """
    cdef const fw_kernels *const *each = fw_kernels_available()
    names = []
    while each[0] != NULL:
        names.append(each[0].name.decode("ascii"))
        each += 1
    return tuple(names)


def active():
    """Return the name of the implementation in use."""
    return active_kernels.name.decode("ascii")


def use(name):
    """Use the implementation called ``name`` from now on, in the whole process.

    A text that one implementation has begun may be ended by another.

    Raises:
        ValueError: there is no such implementation on this machine; the message lists those that there are.
    """
    global active_kernels
    cdef const fw_kernels *found = NULL
    if isinstance(name, str) and name.isascii() and "\0" not in name:
        encoded = name.encode("ascii")
        found = fw_kernels_find(<const char *>PyBytes_AS_STRING(encoded))
    if found == NULL:
        raise ValueError(f"no kernel {name!r} here; available: {', '.join(available())}")
    active_kernels = found


cdef void _choose() except *:
    """Take the best implementation, or the one that the environment variable FRAMEWARDEN_KERNEL names."""
    global active_kernels
    active_kernels = fw_kernels_available()[0]
    name = os.environ.get("FRAMEWARDEN_KERNEL")
    if name is None:
        return
    try:
        use(name)
    except ValueError as error:
        raise ImportError(f"FRAMEWARDEN_KERNEL: {error}") from None


cdef str str_from_valid_utf8(const uint8_t *p, size_t n, bint ascii):
    cdef fw_text_size size
    cdef Py_UCS4 highest = 0x7F
    size.points = n
    size.width = 1
    if not ascii:
        size = active_kernels.measure(p, n)
        # As many code points as bytes: ASCII. CPython wants the narrowest form that fits.
        if size.width == 4:
            highest = 0x10FFFF
        elif size.width == 2:
            highest = 0xFFFF
        elif size.points != n:
            highest = 0xFF
    if size.points > <size_t>PY_SSIZE_T_MAX:
        raise MemoryError
    text = PyUnicode_New(<Py_ssize_t>size.points, highest)
    if n == 0:
        return <str>text
    if highest == 0x7F:
        memcpy(PyUnicode_DATA(text), p, n)
    else:
        active_kernels.transcode(PyUnicode_DATA(text), p, n, size)
    return <str>text


cdef int _open(data, Py_buffer *view) except -1:
    """Look into a bytes-like object; PyBuffer_Release ends it, and the caller holds the object until then.

    An exact ``bytes`` cannot move or change, so it needs no export, and PyBuffer_Release does nothing where ``obj`` is
    NULL.
    """
    if PyBytes_CheckExact(data):
        memset(view, 0, sizeof(Py_buffer))
        view.buf = PyBytes_AS_STRING(data)
        view.len = PyBytes_GET_SIZE(data)
        return 0
    return PyObject_GetBuffer(data, view, PyBUF_SIMPLE)


cdef int _masking_key(key, uint32_t *word) except -1:
    """Put the four octets of a masking-key in a word, as they stand on the wire."""
    cdef Py_buffer view
    _open(key, &view)
    try:
        if view.len != 4:
            raise ValueError(f"a masking-key has 4 bytes, not {view.len}")
        memcpy(word, view.buf, 4)
    finally:
        PyBuffer_Release(&view)
    return 0


def unmask(data, key, phase=0):
    """Unmask (or mask: it is the same) a payload, RFC 6455 section 5.3.

    Args:
        data: bytes-like, any length.
        key: bytes-like, the 4 octets of the masking-key.
        phase: where in the payload ``data`` starts, in bytes; 0 or more.

    Returns:
        New ``bytes`` as long as ``data``; byte ``i`` is ``data[i] ^ key[(phase + i) % 4]``.

    Raises:
        ValueError: the key does not have 4 bytes, or the phase is negative.
    """
    cdef uint32_t word
    cdef Py_buffer view
    cdef size_t start
    _masking_key(key, &word)
    if phase < 0:
        raise ValueError("phase is negative")
    start = phase & 3
    _open(data, &view)
    try:
        out = PyBytes_FromStringAndSize(NULL, view.len)
        active_kernels.unmask(<uint8_t *>PyBytes_AS_STRING(out), <const uint8_t *>view.buf, view.len, word, start)
    finally:
        PyBuffer_Release(&view)
    return out


cdef Py_ssize_t _invalid_at(const uint8_t *p, size_t n, fw_utf8 *text) noexcept nogil:
    """The offset of what is wrong in a whole text, n when it ends inside a character, -1 when it is valid."""
    text.state = 0
    text.nonascii = 0
    cdef size_t good = active_kernels.validate(text, p, n)
    if good == n and text.state == 0:
        return -1
    return <Py_ssize_t>good


def find_invalid_utf8(data):
    """Find where a whole text stops being UTF-8 (RFC 3629).

    Args:
        data: bytes-like, any length.

    Returns:
        ``None`` when ``data`` is valid. Else the index of the first byte that cannot stand where it stands, whatever
        follows: in ``E0 80`` that is 1. ``len(data)`` when the text ends inside a character.
    """
    cdef fw_utf8 text
    cdef Py_buffer view
    cdef Py_ssize_t wrong
    _open(data, &view)
    try:
        wrong = _invalid_at(<const uint8_t *>view.buf, view.len, &text)
    finally:
        PyBuffer_Release(&view)
    return None if wrong < 0 else wrong


def decode_utf8(data):
    """Decode a whole text; what ``bytes(data).decode()`` returns, several times as fast where it is not ASCII.

    Args:
        data: bytes-like, any length.

    Raises:
        Utf8Error: it is not UTF-8; ``offset`` as ``find_invalid_utf8`` returns it.
    """
    cdef fw_utf8 text
    cdef Py_buffer view
    cdef Py_ssize_t wrong
    _open(data, &view)
    try:
        wrong = _invalid_at(<const uint8_t *>view.buf, view.len, &text)
        if wrong >= 0:
            raise Utf8Error(wrong)
        return str_from_valid_utf8(<const uint8_t *>view.buf, view.len, text.nonascii == 0)
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class Utf8Validator:
    """Validate a text that comes in pieces, cut anywhere, masked or not.

    ``bytes_seen`` is how many bytes of the text have been fed, in all.
    """

    cdef fw_utf8 _text
    cdef readonly Py_ssize_t bytes_seen
    cdef Py_ssize_t _wrong

    def __cinit__(self):
        self._wrong = -1

    @property
    def complete(self):
        """Whether the text may end here: nothing was wrong and it is not inside a character."""
        return self._wrong < 0 and self._text.state == 0

    @property
    def ascii(self):
        """Whether every byte so far was below 0x80."""
        return self._wrong < 0 and self._text.nonascii == 0

    cdef int _judge(self, size_t good, Py_ssize_t n) except -1:
        if good != <size_t>n:
            self._wrong = self.bytes_seen + <Py_ssize_t>good
            raise Utf8Error(self._wrong)
        self.bytes_seen += n
        return 0

    def feed(self, data):
        """Go on with ``data`` (bytes-like, any length).

        Raises:
            Utf8Error: a byte cannot stand where it stands; ``offset`` counts from the start of the text. Every later
                call raises the same.
        """
        cdef Py_buffer view
        if self._wrong >= 0:
            raise Utf8Error(self._wrong)
        _open(data, &view)
        try:
            self._judge(active_kernels.validate(&self._text, <const uint8_t *>view.buf, view.len), view.len)
        finally:
            PyBuffer_Release(&view)

    def feed_masked(self, data, key):
        """Go on with ``data`` (bytes-like, any length) and return it unmasked.

        ``key`` is the 4 octets of the masking-key; the whole text is taken for one payload, so its phase is
        ``bytes_seen % 4``.

        Raises:
            ValueError: the key does not have 4 bytes.
            Utf8Error: as ``feed``.
        """
        cdef uint32_t word
        cdef Py_buffer view
        _masking_key(key, &word)
        if self._wrong >= 0:
            raise Utf8Error(self._wrong)
        _open(data, &view)
        try:
            out = PyBytes_FromStringAndSize(NULL, view.len)
            self._judge(active_kernels.unmask_validate(&self._text, <uint8_t *>PyBytes_AS_STRING(out),
                                                       <const uint8_t *>view.buf, view.len, word,
                                                       self.bytes_seen & 3),
                        view.len)
        finally:
            PyBuffer_Release(&view)
        return out


_choose()
