"""What the kernels do, in obvious Python: an oracle for tests, never used otherwise.

Written from the two RFCs alone, with no thought of speed and nothing shared with the C.
"""

# RFC 3629, section 4: each alternative of the ABNF, as the ranges that its octets stand in. UTF8-tail is 80..BF.
_TAIL = range(0x80, 0xC0)
UTF8_CHARACTERS: tuple[tuple[range, ...], ...] = (
    (range(0x80),),  # UTF8-1
    (range(0xC2, 0xE0), _TAIL),  # UTF8-2
    (range(0xE0, 0xE1), range(0xA0, 0xC0), _TAIL),  # UTF8-3
    (range(0xE1, 0xED), _TAIL, _TAIL),
    (range(0xED, 0xEE), range(0x80, 0xA0), _TAIL),
    (range(0xEE, 0xF0), _TAIL, _TAIL),
    (range(0xF0, 0xF1), range(0x90, 0xC0), _TAIL, _TAIL),  # UTF8-4
    (range(0xF1, 0xF4), _TAIL, _TAIL, _TAIL),
    (range(0xF4, 0xF5), range(0x80, 0x90), _TAIL, _TAIL),
)


def unmask(data: bytes, key: bytes, phase: int = 0) -> bytes:
    """Return ``data`` unmasked: octet i is ``data[i] XOR key[(phase + i) MOD 4]`` (RFC 6455, section 5.3)."""
    return bytes(octet ^ key[(phase + i) % 4] for i, octet in enumerate(data))


def find_invalid_utf8(data: bytes) -> int | None:
    """Return the index of the first byte that no valid text can have there.

    ``len(data)`` when the end cuts a character; ``None`` when all is valid.
    """
    open_characters: list[tuple[range, ...]] = []
    for i, octet in enumerate(data):
        candidates = open_characters or UTF8_CHARACTERS
        fitting = [ranges[1:] for ranges in candidates if octet in ranges[0]]
        if not fitting:
            return i
        open_characters = [rest for rest in fitting if rest]
    return len(data) if open_characters else None


def decode_utf8(data: bytes) -> str:
    """Return the text of valid ``data``: the low bits of each octet, put together (RFC 3629, section 3)."""
    points: list[int] = []
    for octet in data:
        if octet < 0x80:
            points.append(octet)
        elif octet < 0xC0:
            points[-1] = points[-1] << 6 | octet & 0x3F
        elif octet < 0xE0:
            points.append(octet & 0x1F)
        elif octet < 0xF0:
            points.append(octet & 0x0F)
        else:
            points.append(octet & 0x07)
    return "".join(map(chr, points))
