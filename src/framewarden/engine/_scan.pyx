# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""What a decoder cannot be asked to count: the values of a message, and names that come twice.

msgspec has no hook that could stop it in the middle, and a megabyte of empty maps becomes 75 megabytes of objects; so
the values are counted before they are made. All scans are linear in the message (the search for repeated names:
n log n in the names of one object) and bounded by it in memory.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memchr, memcmp, memcpy

cdef size_t BLOCK = 4096


# ---- JSON (RFC 8259)

cdef bint json_exceeds(const uint8_t *data, size_t size, size_t limit) noexcept nogil:
    if json_delimiters(data, size, limit) < limit:
        return False
    return json_counts_more(data, size, limit)


cdef size_t json_delimiters(const uint8_t *data, size_t size, size_t enough) noexcept nogil:
    """How many bytes could stand before a value or a name, wherever they are: never less than there are values, less
    one. Written so that a compiler makes vector code of it; the exact count follows only if this one is too high."""
    cdef size_t total = 0
    cdef size_t i, stop
    cdef size_t begin = 0
    cdef uint32_t count
    while begin < size and total < enough:
        stop = begin + BLOCK if size - begin > BLOCK else size
        count = 0
        for i in range(begin, stop):
            count += (data[i] == c",") + (data[i] == c":") + (data[i] == c"[") + (data[i] == c"{")
        total += count
        begin = stop
    return total


cdef bint json_counts_more(const uint8_t *data, size_t size, size_t limit) noexcept nogil:
    """Count exactly: a string (value or name), an array, an object, a number or a literal is one each."""
    cdef size_t count = 0
    cdef size_t i = 0
    cdef bint inside = False    # a number or a literal
    cdef uint8_t octet
    while i < size:
        octet = data[i]
        if octet == c'"':
            count += 1
            inside = False
            i = json_string_end(data, size, i)
        elif octet == c"[" or octet == c"{":
            count += 1
            inside = False
        elif octet == c"," or octet == c":" or octet == c"]" or octet == c"}" or octet <= c" ":
            inside = False
        elif not inside:
            count += 1
            inside = True
        if count > limit:
            return True
        i += 1
    return False


cdef size_t json_string_end(const uint8_t *data, size_t size, size_t i) noexcept nogil:
    """Position of the quotation mark that ends the string that begins at i; size if none does."""
    cdef uint64_t word
    i += 1
    while True:
        while i + 8 <= size:
            memcpy(&word, data + i, 8)
            if has_octet(word, c'"') or has_octet(word, c"\\"):
                break
            i += 8
        while i < size and data[i] != c'"' and data[i] != c"\\":
            i += 1
        if i >= size:
            return size
        if data[i] == c'"':
            return i
        i += 2


cdef inline uint64_t has_octet(uint64_t word, uint8_t octet) noexcept nogil:
    """Not 0 if one of the eight octets of the word is this one (never 0 wrongly, and never not 0 wrongly)."""
    word ^= 0x0101010101010101U * octet
    return (word - 0x0101010101010101U) & ~word & 0x8080808080808080U


# ---- MessagePack

cdef bint msgpack_exceeds(const uint8_t *data, size_t size, size_t limit) noexcept nogil:
    """Walk over the values in the order in which they stand; how they nest does not matter for their number."""
    cdef size_t i = 0
    cdef size_t count = 0
    cdef uint64_t open = 1      # values that must still come
    cdef uint64_t children, skip
    while open and i < size:
        count += 1
        if count > limit:
            return True
        skip = msgpack_head(data + i, size - i, &children)
        if skip > size - i:
            return False
        i += <size_t>skip
        open += children
        open -= 1
    return False


cdef uint64_t msgpack_head(const uint8_t *data, size_t size, uint64_t *children) noexcept nogil:
    """Bytes of one value without its children, and how many of these it has; more than size: it is cut short."""
    cdef uint8_t kind = data[0]
    children[0] = 0
    if kind <= 0x7F or kind >= 0xE0:
        return 1
    if kind <= 0x8F:
        children[0] = 2 * <uint64_t>(kind & 0x0F)
        return 1
    if kind <= 0x9F:
        children[0] = kind & 0x0F
        return 1
    if kind <= 0xBF:
        return 1 + <uint64_t>(kind & 0x1F)
    if kind <= 0xC3:
        return 1
    if kind <= 0xC6:                            # bin 8, 16, 32
        return msgpack_sized(data, size, 1 << (kind - 0xC4), 0)
    if kind <= 0xC9:                            # ext 8, 16, 32
        return msgpack_sized(data, size, 1 << (kind - 0xC7), 1)
    if kind <= 0xCB:                            # float 32, 64
        return 5 if kind == 0xCA else 9
    if kind <= 0xD3:                            # uint 8 to 64, int 8 to 64
        return 1 + (<uint64_t>1 << ((kind - 0xCC) & 3))
    if kind <= 0xD8:                            # fixext 1 to 16
        return 2 + (<uint64_t>1 << (kind - 0xD4))
    if kind <= 0xDB:                            # str 8, 16, 32
        return msgpack_sized(data, size, 1 << (kind - 0xD9), 0)
    return msgpack_container(data, size, kind, children)


cdef uint64_t msgpack_container(const uint8_t *data, size_t size, uint8_t kind, uint64_t *children) noexcept nogil:
    """array 16, 32 and map 16, 32."""
    cdef size_t width = 4 if kind & 1 else 2
    if size < 1 + width:
        return size + 1
    children[0] = big_endian(data + 1, width) * (2 if kind >= 0xDE else 1)
    return 1 + width


cdef uint64_t msgpack_sized(const uint8_t *data, size_t size, size_t width, size_t extra) noexcept nogil:
    if size < 1 + width:
        return size + 1
    return 1 + width + extra + big_endian(data + 1, width)


cdef uint64_t big_endian(const uint8_t *data, size_t width) noexcept nogil:
    cdef uint64_t value = 0
    cdef size_t i
    for i in range(width):
        value = value << 8 | data[i]
    return value


# ---- Names that come twice (RFC 8259 4: "The names within an object SHOULD be unique")

cdef struct Name:
    uint64_t hash
    const uint8_t *data
    size_t size


cdef struct Names:
    Name *names             # of all objects that are open, outermost first
    size_t size
    size_t capacity
    size_t *objects         # where the names of each open object begin
    size_t depth
    size_t depth_capacity
    uint8_t *text           # names that had escapes, without them; as long as the message, so that it never moves
    size_t text_size


cdef Names shared           # all zero at first; its two tables stay for the next message unless they have grown large
cdef size_t NAMES_KEPT = 4096


cdef bint json_repeats(const uint8_t *data, size_t size) except -1:
    cdef int result
    shared.size = shared.depth = shared.text_size = 0
    result = find_repeat(&shared, data, size)
    free(shared.text)
    shared.text = NULL
    if shared.capacity > NAMES_KEPT or shared.depth_capacity > NAMES_KEPT:
        free(shared.names)
        free(shared.objects)
        shared.names = NULL
        shared.objects = NULL
        shared.capacity = shared.depth_capacity = 0
    if result < 0:
        raise MemoryError
    return result != 0


cdef int find_repeat(Names *names, const uint8_t *data, size_t size) noexcept nogil:
    """1: a name comes twice, 0: none does, -1: out of memory."""
    cdef size_t i = 0
    cdef size_t end
    cdef int result
    while i < size:
        if data[i] == c'"':
            end = json_string_end(data, size, i)
            if is_name(data, size, end + 1) and not push_name(names, data, size, i + 1, end):
                return -1
            i = end
        elif data[i] == c"{":
            if not push_object(names):
                return -1
        elif data[i] == c"}" and names.depth:
            names.depth -= 1
            result = has_repeat(names.names + names.objects[names.depth], names.size - names.objects[names.depth])
            if result:
                return result
            names.size = names.objects[names.depth]
        i += 1
    return 0


cdef bint is_name(const uint8_t *data, size_t size, size_t i) noexcept nogil:
    while i < size and data[i] <= c" ":
        i += 1
    return i < size and data[i] == c":"


cdef bint push_object(Names *names) noexcept nogil:
    cdef void *memory
    if names.depth == names.depth_capacity:
        memory = realloc(names.objects, (2 * names.depth_capacity + 16) * sizeof(size_t))
        if memory == NULL:
            return False
        names.objects = <size_t *>memory
        names.depth_capacity = 2 * names.depth_capacity + 16
    names.objects[names.depth] = names.size
    names.depth += 1
    return True


cdef bint push_name(Names *names, const uint8_t *data, size_t size, size_t begin, size_t end) noexcept nogil:
    cdef void *memory
    cdef Name *name
    if names.size == names.capacity:
        memory = realloc(names.names, (2 * names.capacity + 16) * sizeof(Name))
        if memory == NULL:
            return False
        names.names = <Name *>memory
        names.capacity = 2 * names.capacity + 16
    name = names.names + names.size
    names.size += 1
    name.data = data + begin
    name.size = end - begin
    if memchr(name.data, c"\\", name.size) != NULL:
        if names.text == NULL:
            names.text = <uint8_t *>realloc(NULL, size)
            if names.text == NULL:
                return False
        name.size = unescape(names.text + names.text_size, name.data, name.size)
        name.data = names.text + names.text_size
        names.text_size += name.size
    name.hash = mix(name.data, name.size)
    return True


cdef uint64_t mix(const uint8_t *data, size_t size) noexcept nogil:
    """A hash that only has to tell most names apart, eight octets at a step: names with the same hash are compared byte
    by byte, and sorted by that, so that a peer who makes hashes collide gains nothing."""
    cdef uint64_t value = size
    cdef uint64_t word
    while size:
        word = 0
        memcpy(&word, data, 8 if size >= 8 else size)
        value = (value ^ word) * 0x9E3779B97F4A7C15U
        value ^= value >> 29
        if size <= 8:
            break
        data += 8
        size -= 8
    return value


cdef int has_repeat(Name *names, size_t size) noexcept nogil:
    cdef size_t i, j
    if size < 9:
        for i in range(1, size):
            for j in range(i):
                if names[i].hash == names[j].hash and compare_names(names + i, names + j) == 0:
                    return 1
        return 0
    qsort(names, size, sizeof(Name), compare_names)
    for i in range(1, size):
        if compare_names(names + i - 1, names + i) == 0:
            return 1
    return 0


cdef int compare_names(const void *left, const void *right) noexcept nogil:
    cdef const Name *a = <const Name *>left
    cdef const Name *b = <const Name *>right
    if a.hash != b.hash:
        return -1 if a.hash < b.hash else 1
    if a.size != b.size:
        return -1 if a.size < b.size else 1
    return memcmp(a.data, b.data, a.size)


cdef size_t unescape(uint8_t *target, const uint8_t *data, size_t size) noexcept nogil:
    """RFC 8259 7, for a valid string; the result is never longer than the source."""
    cdef size_t i = 0
    cdef size_t written = 0
    cdef uint32_t point
    while i < size:
        if data[i] != c"\\":
            target[written] = data[i]
            written += 1
            i += 1
        elif data[i + 1] != c"u":
            target[written] = simple_escape(data[i + 1])
            written += 1
            i += 2
        else:
            point = hexadecimal(data + i + 2)
            i += 6
            if point & 0xFC00 == 0xD800:
                point = 0x10000 + ((point & 0x3FF) << 10 | hexadecimal(data + i + 2) & 0x3FF)
                i += 6
            written += encode_point(target + written, point)
    return written


cdef uint8_t simple_escape(uint8_t octet) noexcept nogil:
    if octet == c"b":
        return 8
    if octet == c"t":
        return 9
    if octet == c"n":
        return 10
    if octet == c"f":
        return 12
    if octet == c"r":
        return 13
    return octet


cdef uint32_t hexadecimal(const uint8_t *digits) noexcept nogil:
    cdef uint32_t value = 0
    cdef int i
    for i in range(4):
        value = value << 4 | ((digits[i] & 0x0F) + (9 if digits[i] > c"9" else 0))
    return value


cdef size_t encode_point(uint8_t *target, uint32_t point) noexcept nogil:
    """RFC 3629 3."""
    if point < 0x80:
        target[0] = <uint8_t>point
        return 1
    if point < 0x800:
        target[0] = <uint8_t>(0xC0 | point >> 6)
        target[1] = <uint8_t>(0x80 | point & 0x3F)
        return 2
    if point < 0x10000:
        target[0] = <uint8_t>(0xE0 | point >> 12)
        target[1] = <uint8_t>(0x80 | point >> 6 & 0x3F)
        target[2] = <uint8_t>(0x80 | point & 0x3F)
        return 3
    target[0] = <uint8_t>(0xF0 | point >> 18)
    target[1] = <uint8_t>(0x80 | point >> 12 & 0x3F)
    target[2] = <uint8_t>(0x80 | point >> 6 & 0x3F)
    target[3] = <uint8_t>(0x80 | point & 0x3F)
    return 4
