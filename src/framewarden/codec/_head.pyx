# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""A well-formed request head that is there in one piece, cut into its parts in one pass.

What is not well-formed, or not complete, is not judged here: the parser in ``handshake.py`` goes through that once more
and says what broke the grammar first. Which byte may stand where is asked of the expressions in ``grammar.py``, once.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport uint8_t
from libc.string cimport memcmp

from framewarden.codec import grammar

cdef enum:
    TCHAR = 1
    VALUE = 2
    PATH = 4
    QUERY = 8
    HEX = 16
    LONGEST_NAME = 64  # of those that are made lower case on the stack

# What each byte may be part of. NUL is part of nothing, so every loop over a class stops at the NUL that stands behind
# the last byte of a bytes object, if not before.
cdef uint8_t[256] classes
cdef uint8_t[256] lower


cdef void _fill():
    cdef int byte
    members = (
        (TCHAR, grammar.characters(grammar.tchar)),
        (VALUE, grammar.characters(grammar.value_char)),
        (PATH, grammar.characters(grammar.path_char)),
        (QUERY, grammar.characters(grammar.query_char)),
        (HEX, grammar.characters("[0-9A-Fa-f]")),
    )
    for byte in range(256):
        classes[byte] = 0
        lower[byte] = byte + 32 if 65 <= byte <= 90 else byte
        for mark, found in members:
            if byte in found:
                classes[byte] |= <uint8_t>mark
    assert classes[0] == 0


_fill()


cdef inline const uint8_t *skip(const uint8_t *at, uint8_t mark) noexcept:
    """The first byte that is not of a class."""
    while classes[at[0]] & mark:
        at += 1
    return at


cdef inline const uint8_t *skip_encoded(const uint8_t *at, uint8_t mark) noexcept:
    """The same where "%" and two hexadecimal digits may stand too; NULL at a "%" without them."""
    while True:
        if classes[at[0]] & mark:
            at += 1
        elif at[0] != c"%":
            return at
        elif classes[at[1]] & HEX and classes[at[2]] & HEX:  # a NUL at [1] is no digit: [2] is not looked at
            at += 3
        else:
            return NULL


cdef inline str text(const uint8_t *begin, const uint8_t *end):
    return PyUnicode_DecodeLatin1(<const char *>begin, end - begin, NULL)


cdef inline str name_of(const uint8_t *begin, const uint8_t *end):
    """A header's name in lower case."""
    cdef uint8_t[LONGEST_NAME] out
    cdef Py_ssize_t size = end - begin
    cdef Py_ssize_t i
    if size > LONGEST_NAME:
        return text(begin, end).lower()
    for i in range(size):
        out[i] = lower[begin[i]]
    return PyUnicode_DecodeLatin1(<const char *>out, size, NULL)


def read_head(bytes data not None, Py_ssize_t max_bytes, Py_ssize_t max_headers):
    """Cut the head of a GET request for HTTP/1.1 at the beginning of ``data``. One pass, linear in the head.

    Returns:
        How many bytes the head has, the target, its path and query, and the headers: names in lower case, values
        without the space around them. None: there is no complete head of at most ``max_bytes`` with at most
        ``max_headers`` headers, or it is not of the grammar (RFC 9112 3 and 5), or it is of another method or version.
    """
    cdef const uint8_t *begin = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef const uint8_t *end = begin + PyBytes_GET_SIZE(data)
    cdef const uint8_t *at = begin
    cdef const uint8_t *mark
    cdef const uint8_t *last
    cdef list headers = []
    cdef str target, path, query, name

    if end - at < 5 or memcmp(at, b"GET /", 5) != 0:
        return None
    at += 4
    mark = at
    at = skip_encoded(at, PATH)
    if at is NULL or at - begin > max_bytes:
        return None
    path = text(mark, at)
    target, query = path, ""
    if at[0] == c"?":
        last = at + 1
        at = skip_encoded(last, QUERY)
        if at is NULL or at - begin > max_bytes:
            return None
        query = text(last, at)
        target = text(mark, at)
    if end - at < 11 or memcmp(at, b" HTTP/1.1\r\n", 11) != 0:
        return None
    at += 11

    while at[0] != c"\r":
        mark = at
        at = skip(at, TCHAR)
        if at is mark or at[0] != c":" or len(headers) == max_headers:
            return None
        name = name_of(mark, at)
        at += 1
        while at[0] == c" " or at[0] == c"\t":
            at += 1
        mark = at
        at = skip(at, VALUE)
        if at[0] != c"\r" or at[1] != c"\n" or at - begin > max_bytes:
            return None
        last = at
        while last > mark and ((last - 1)[0] == c" " or (last - 1)[0] == c"\t"):
            last -= 1
        headers.append((name, text(mark, last)))
        at += 2
    if at[1] != c"\n" or at + 2 - begin > max_bytes:
        return None
    return at + 2 - begin, target, path, query, tuple(headers)
