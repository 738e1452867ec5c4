/* Every implementation against the scalar one, and the scalar one against oracles (see README.md). */
#define _DEFAULT_SOURCE

#include "fw_kernels.h"
#include "guarded.h"
#include "obvious.h"

enum { LARGE = 70000, ALIGNMENTS = 64, LENGTHS = 301 };

static const fw_kernels *scalar, *tested;
static guarded source, target, expected;
static uint32_t points[LARGE + 64];
static unsigned long checks;

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        checks++;                                                                                                      \
        if (!(what)) {                                                                                                 \
            printf("%s: FAILED %s:%d: %s\n", tested->name, __FILE__, __LINE__, #what);                                 \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static uint32_t word_of(const uint8_t key[4])
{
    uint32_t word;

    memcpy(&word, key, 4);
    return word;
}

/* unmask, copying and in place, of n bytes that end at the given distance before a guard. */
static void check_unmask(size_t n, size_t distance, size_t phase)
{
    const uint8_t key[4] = {0x01, 0x23, 0x45, 0x89};
    uint8_t *src = guarded_tail(source, n, distance);
    uint8_t *dst = guarded_tail(target, n, distance * 7 % ALIGNMENTS);
    uint8_t *want = guarded_tail(expected, n, 0);

    for (size_t i = 0; i < n; i++)
        src[i] = (uint8_t)random_below(256);
    obvious_unmask(want, src, n, key, phase);
    canaries_set(target, dst, n);
    tested->unmask(dst, src, n, word_of(key), phase);
    CHECK(n == 0 || memcmp(dst, want, n) == 0);
    CHECK(canaries_alive(target, dst, n));
    tested->unmask(dst, src, n, 0, phase);
    CHECK(n == 0 || memcmp(dst, src, n) == 0);
    canaries_set(source, src, n);
    tested->unmask(src, src, n, word_of(key), phase);
    CHECK(n == 0 || memcmp(src, want, n) == 0);
    CHECK(canaries_alive(source, src, n));
}

/* validate of the n bytes at src, by the oracle and by the tested one; returns the index, and leaves the scalar's view
 * of the end in *after. */
static size_t check_validate(const uint8_t *src, size_t n, fw_utf8 *after)
{
    fw_utf8 text = {0, 0}, plain = {0, 0};
    size_t open;
    size_t want = obvious_validate(src, n, &open);
    uint8_t seen = 0;

    CHECK(scalar->validate(&plain, src, n) == want);
    CHECK(tested->validate(&text, src, n) == want);
    if (want == n) {
        for (size_t i = 0; i < n; i++)
            seen |= src[i];
        CHECK((plain.state == 0) == (open == 0));
        CHECK(text.state == plain.state);
        CHECK(text.nonascii == seen >> 7 && plain.nonascii == seen >> 7);
    }
    *after = plain;
    return want;
}

/* unmask_validate, copying and in place, of the n unmasked bytes at src. */
static void check_fused(uint8_t *src, size_t n, size_t distance, size_t phase)
{
    const uint8_t key[4] = {0x9A, 0xFF, 0x07, 0x60};
    uint8_t *masked = guarded_tail(expected, n, distance * 5 % ALIGNMENTS);
    uint8_t *dst = guarded_tail(target, n, distance);
    fw_utf8 after, text = {0, 0}, same = {0, 0};
    size_t want = check_validate(src, n, &after);

    obvious_unmask(masked, src, n, key, phase);
    canaries_set(target, dst, n);
    CHECK(tested->unmask_validate(&text, dst, masked, n, word_of(key), phase) == want);
    CHECK(canaries_alive(target, dst, n));
    canaries_set(expected, masked, n);
    CHECK(tested->unmask_validate(&same, masked, masked, n, word_of(key), phase) == want);
    CHECK(canaries_alive(expected, masked, n));
    if (want == n) {
        CHECK(n == 0 || (memcmp(dst, src, n) == 0 && memcmp(masked, src, n) == 0));
        CHECK(text.state == after.state && text.nonascii == after.nonascii);
        CHECK(same.state == after.state && same.nonascii == after.nonascii);
    }
}

/* measure and transcode of n bytes of valid text whose code points are known. */
static void check_decode(const uint8_t *src, size_t n, const uint32_t *want, size_t count, size_t distance)
{
    uint32_t highest = 0;

    for (size_t i = 0; i < count; i++)
        highest = want[i] > highest ? want[i] : highest;

    uint32_t width = highest < 0x100 ? 1 : highest < 0x10000 ? 2 : 4;
    fw_text_size size = tested->measure(src, n);

    CHECK(size.points == count && size.width == width);

    size_t bytes = count * width;
    uint8_t *dst = guarded_tail(target, bytes, distance / width * width);

    canaries_set(target, dst, bytes);
    tested->transcode(dst, src, n, size);
    CHECK(canaries_alive(target, dst, bytes));
    for (size_t i = 0; i < count; i++) {
        uint32_t got = 0;

        if (width == 1)
            got = dst[i];
        else if (width == 2)
            got = ((const uint16_t *)(const void *)dst)[i];
        else
            got = ((const uint32_t *)(const void *)dst)[i];
        if (got != want[i])
            CHECK(got == want[i]);
    }
    checks++;
}

/* A text of n bytes. Kinds 0 to 5 are valid, see random_point. */
enum { LAST_VALID = 5, MUTATED = 6, NOISE = 7, KINDS = 8 };

static void make_text(uint8_t *src, size_t n, int kind, size_t *count)
{
    static const uint8_t suspects[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                       0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};

    random_text(src, n, kind < MUTATED ? kind : 4, points, count);
    if (kind == MUTATED && n > 0)
        src[random_below((uint32_t)n)] = suspects[random_below(sizeof suspects)];
    if (kind == NOISE)
        for (size_t i = 0; i < n; i++)
            src[i] = suspects[random_below(sizeof suspects)];
}

static void every_place_and_length(void)
{
    for (size_t n = 0; n < LENGTHS; n++) {
        for (size_t distance = 0; distance < ALIGNMENTS; distance++) {
            size_t count;
            int kind = (int)((n + distance) % KINDS);
            uint8_t *src = guarded_tail(source, n, distance);

            for (size_t phase = 0; phase < 4; phase++)
                check_unmask(n, distance, phase);
            make_text(src, n, kind, &count);
            check_fused(src, n, distance, distance % 4);
            if (kind <= LAST_VALID)
                check_decode(src, n, points, count, distance);
        }
        for (int kind = 0; kind < 4 * KINDS; kind++) {
            size_t count;
            uint8_t *src = kind / KINDS == 3 ? source.start : guarded_tail(source, n, 0);

            make_text(src, n, kind % KINDS, &count);
            check_fused(src, n, 0, (n + (size_t)kind) % 4);
            if (kind % KINDS <= LAST_VALID)
                check_decode(src, n, points, count, 0);
        }
    }
}

static void large_texts(void)
{
    static const size_t sizes[] = {1000, 4095, 4096, 4097, 8192 + 65, 65535, 65536, LARGE};

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (int kind = 0; kind < KINDS; kind++) {
            size_t count, n = sizes[s];
            uint8_t *src = guarded_tail(source, n, (size_t)kind);

            check_unmask(n, (size_t)kind, 3);
            make_text(src, n, kind, &count);
            check_fused(src, n, (size_t)kind, 1);
            if (kind <= LAST_VALID)
                check_decode(src, n, points, count, (size_t)kind);
        }
    }
}

static void every_code_point(void)
{
    size_t n = 0, count = 0;

    for (uint32_t point = 0; point < 0x110000; point++) {
        uint8_t *alone = guarded_tail(source, 4, 0);
        size_t length = obvious_encode(alone, point);
        uint8_t *src = guarded_tail(source, length, 0);
        fw_utf8 text = {0, 0};
        int surrogate = point >= 0xD800 && point <= 0xDFFF;

        memmove(src, alone, length);
        if (tested->validate(&text, src, length) != (surrogate ? 1 : length) || (!surrogate && text.state))
            CHECK(!"one code point");
        if (surrogate)
            continue;
        if (point % 37 == 0)
            check_decode(src, length, &point, 1, 0);

        memcpy(source.start + n, src, length);
        points[count++] = point;
        n += length;
        if (n > 2000 || point == 0x10FFFF) {
            fw_utf8 after;

            CHECK(check_validate(source.start, n, &after) == n);
            check_decode(source.start, n, points, count, 0);
            n = count = 0;
        }
    }
}

/* Leads with every second byte and the edges of what may follow, at the joints of the vectors. */
static void every_wrong_pair(void)
{
    static const uint8_t edges[] = {0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2};
    static const size_t places[] = {0, 14, 30, 61, 62, 63, 125, 126, 127};
    uint8_t *src = guarded_tail(source, 200, 0);

    for (unsigned pair = 0x8000; pair <= 0xFFFF; pair++) {
        for (unsigned k = 0; k < sizeof edges; k++) {
            fw_utf8 after;
            size_t place = places[(pair + k) % (sizeof places / sizeof places[0])];

            memset(src, 'a', 200);
            src[place] = (uint8_t)(pair >> 8);
            src[place + 1] = (uint8_t)pair;
            src[place + 2] = edges[k];
            src[place + 3] = edges[(pair >> 3) % sizeof edges];
            check_validate(src, k % 2 ? 200 : place + 2 + k % 3, &after);
        }
    }
}

/* One text in three pieces, each by the tested one or by the scalar one: with masked == NULL by validate, else by
 * unmask_validate. The index of the first wrong byte of the whole text, or its length. */
static size_t cut_in_three(fw_utf8 *text, const uint8_t *src, const uint8_t *masked, uint32_t key, const size_t ends[4])
{
    uint8_t *dst = guarded_tail(target, ends[3], 0);
    size_t at = 0;

    *text = (fw_utf8){0, 0};
    for (int p = 0; p < 3; p++) {
        const fw_kernels *one = p != 1 && ends[p + p / 2] % 2 ? scalar : tested;
        size_t length = ends[p + 1] - at;

        at += masked ? one->unmask_validate(text, dst + at, masked + at, length, key, at)
                     : one->validate(text, src + at, length);
        if (at != ends[p + 1])
            return at;
    }
    CHECK(!masked || memcmp(dst, src, at) == 0);
    return at;
}

/* Cut a text in three, at any two places. */
static void every_cut(void)
{
    static const char *const characters[] = {"\xC3\xA9", "\xE0\xA0\x80", "\xED\x9F\xBF",     "\xE6\xBC\xA2",
                                             "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "\xF1\x80\x80\x80", "\xED\xA0\x80",
                                             "\xF4\x90\x80\x80", "\xE0\x9F\xBF", "\xC3\xC3", "\xF0\x9F\x98"};
    static const size_t lengths[] = {9, 40, 140};

    for (size_t c = 0; c < sizeof characters / sizeof characters[0]; c++) {
        for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
            size_t n = lengths[l], width = strlen(characters[c]), open;
            uint8_t *src = guarded_tail(source, n, 0);
            uint8_t *masked = guarded_tail(expected, n, 0);
            const uint8_t key[4] = {0x5A, 0x01, 0xC3, 0x7E};

            memset(src, l % 2 ? 'a' : '\0', n);
            for (size_t i = (c + l) % 3; i + width <= n; i += width + (c % 2) * 3)
                memcpy(src + i, characters[c], width);

            size_t want = obvious_validate(src, n, &open);

            obvious_unmask(masked, src, n, key, 0);
            for (size_t i = 0; i <= n; i++) {
                for (size_t j = i; j <= n; j += l == 2 ? 3 : 1) {
                    const size_t ends[4] = {0, i, j, n};
                    fw_utf8 text;

                    CHECK(cut_in_three(&text, src, NULL, word_of(key), ends) == want);
                    CHECK(want < n || (text.state != 0) == (open != 0));
                    CHECK(cut_in_three(&text, src, masked, word_of(key), ends) == want);
                    CHECK(want < n || (text.state != 0) == (open != 0));
                }
            }
        }
    }
}

static void nothing_at_all(void)
{
    fw_utf8 text = {0, 0};
    uint8_t here[1] = {7};

    tested->unmask(here, here, 0, 0x01020304, 3);
    CHECK(here[0] == 7);
    CHECK(tested->validate(&text, here, 0) == 0 && text.state == 0 && text.nonascii == 0);
    CHECK(tested->validate(&text, (const uint8_t *)"\xE2", 1) == 1 && text.state != 0);

    uint32_t inside = text.state;

    CHECK(tested->validate(&text, here, 0) == 0 && text.state == inside && text.nonascii == 1);
    CHECK(tested->measure(here, 0).points == 0 && tested->measure(here, 0).width == 1);
    CHECK(fw_kernels_find(tested->name) == tested && fw_kernels_find("none such") == NULL);
}

int main(void)
{
    const fw_kernels *const *all = fw_kernels_available();

    source = guarded_new(LARGE + 128);
    target = guarded_new(4 * (size_t)LARGE + 128);
    expected = guarded_new(LARGE + 128);
    scalar = fw_kernels_find("scalar");
    for (; *all; all++) {
        tested = *all;
        checks = 0;
        nothing_at_all();
        every_place_and_length();
        large_texts();
        every_code_point();
        every_wrong_pair();
        every_cut();
        printf("%s: ok, %lu checks\n", tested->name, checks);
        fflush(stdout);
    }
    return scalar && all[-1] == scalar ? 0 : 1;
}
