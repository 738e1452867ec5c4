/* unmask, validate, unmask_validate and measure over vectors, written once for every instruction set.
 *
 * No header in the usual sense: an implementation defines its vector (type vec of VEC bytes, the functions v_*, and
 * FW_TARGET) and then includes this file once.
 *
 * Validation is by table lookup: J. Keiser, D. Lemire, "Validating UTF-8 In Less Than One Instruction Per Byte",
 * Software: Practice and Experience 51 (5), 2021. It tells that a block is wrong but not where, so the state machine
 * then walks the last few bytes again.
 */
#include "implementations.h"
#include "utf8_dfa.h"
#include "words.h"

#define FW_INLINE static inline __attribute__((always_inline)) FW_TARGET

enum { STEP = 4 * VEC };

/* What two neighbouring bytes can have wrong, one bit each; a pair is wrong when the bit is set in all three tables:
 * by the first byte's high half, by its low half, and by the second byte's high half. */
enum {
    TOO_SHORT = 1 << 0,   /* a lead, then no continuation */
    TOO_LONG = 1 << 1,    /* ASCII, then a continuation */
    OVERLONG_3 = 1 << 2,  /* E0 80..9F */
    TOO_LARGE = 1 << 3,   /* F4 90..BF, F5..FF 90..BF */
    SURROGATE = 1 << 4,   /* ED A0..BF */
    OVERLONG_2 = 1 << 5,  /* C0..C1 80..BF */
    OVERLONG_4 = 1 << 6,  /* F0 80..8F */
    TOO_LARGE_8 = 1 << 6, /* F5..FF 80..8F; the first byte's low half keeps it apart from OVERLONG_4 */
    TWO_TAILS = 1 << 7,   /* two continuations; right behind the lead of a longer character */
    ANY_LOW = TOO_SHORT | TOO_LONG | TWO_TAILS,
    ANY_TAIL = TOO_LONG | OVERLONG_2 | TWO_TAILS
};

static const uint8_t first_high[16] = {
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, /* 00..7F */
    TWO_TAILS, TWO_TAILS, TWO_TAILS, TWO_TAILS,                                     /* 80..BF */
    TOO_SHORT | OVERLONG_2,                                                         /* C0..CF */
    TOO_SHORT,                                                                      /* D0..DF */
    TOO_SHORT | OVERLONG_3 | SURROGATE,                                             /* E0..EF */
    TOO_SHORT | OVERLONG_4 | TOO_LARGE | TOO_LARGE_8,                               /* F0..FF */
};

static const uint8_t first_low[16] = {
    ANY_LOW | OVERLONG_2 | OVERLONG_3 | OVERLONG_4, /* C0, E0, F0 */
    ANY_LOW | OVERLONG_2,                           /* C1 */
    ANY_LOW,
    ANY_LOW,
    ANY_LOW | TOO_LARGE, /* F4 */
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8 | SURROGATE, /* ED */
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    ANY_LOW | TOO_LARGE | TOO_LARGE_8,
};

static const uint8_t second_high[16] = {
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, /* 00..7F */
    ANY_TAIL | OVERLONG_3 | OVERLONG_4 | TOO_LARGE_8,                                       /* 80..8F */
    ANY_TAIL | OVERLONG_3 | TOO_LARGE,                                                      /* 90..9F */
    ANY_TAIL | SURROGATE | TOO_LARGE,                                                       /* A0..AF */
    ANY_TAIL | SURROGATE | TOO_LARGE,                                                       /* B0..BF */
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,                                             /* C0..FF */
};

/* Non-zero where block is wrong, given the same bytes one, two and three places earlier. A character that is still open
 * at the end of the block is not wrong. */
FW_INLINE vec wrong_bytes(vec block, vec back1, vec back2, vec back3)
{
    vec low_half = v_splat(0x0F);
    vec pairs = v_and(v_and(v_lookup(v_table(first_high), v_and(v_shr4(back1), low_half)),
                            v_lookup(v_table(first_low), v_and(back1, low_half))),
                      v_lookup(v_table(second_high), v_and(v_shr4(block), low_half)));
    /* The high bit stays set for E0..FF two places, and for F0..FF three places back: here TWO_TAILS has to be. */
    vec longer = v_or(v_subs(back2, v_splat(0xE0 - 0x80)), v_subs(back3, v_splat(0xF0 - 0x80)));

    return v_xor(v_and(longer, v_splat(0x80)), pairs);
}

/* The same, given the block before. */
FW_INLINE vec wrong_after(vec block, vec before)
{
    return wrong_bytes(block, v_back1(block, before), v_back2(block, before), v_back3(block, before));
}

/* Something is wrong in the n bytes at out + from: the index of the first wrong byte. All before from is good. */
static size_t first_wrong(const uint8_t *out, size_t from, size_t n)
{
    fw_utf8 text = {FW_UTF8_BOUNDARY, 0};
    size_t start = fw_utf8_last_start(out, from);

    return start + fw_utf8_walk(&text, out + start, n - start);
}

/* validate() for n bytes that begin at a character and have one above 7F among them; for what is too short for the long
 * loop, so it need not be the fastest there is. */
FW_TARGET static size_t validate_rest(fw_utf8 *text, const uint8_t *src, size_t n)
{
    vec wrong;

    if (n < VEC + 3) {
        /* In front of the bytes stand zeros, ASCII, so nothing is seen after the last one. */
        uint8_t padded[2 * VEC] = {0};

        memcpy(padded + 2 * VEC - n, src, n);

        vec before = v_load(padded);

        wrong = v_or(wrong_after(before, v_splat(0)), wrong_after(v_load(padded + VEC), before));
    } else {
        wrong = wrong_after(v_load(src), v_splat(0));
        for (size_t i = VEC; i < n; i += VEC) {
            const uint8_t *block = src + (i + VEC <= n ? i : n - VEC);

            wrong = v_or(wrong, wrong_bytes(v_load(block), v_load(block - 1), v_load(block - 2), v_load(block - 3)));
        }
    }
    if (v_any(wrong))
        return first_wrong(src, 0, n);

    /* At most the last character is open. */
    size_t start = fw_utf8_last_start(src, n);

    text->nonascii = 1;
    return start + fw_utf8_walk(text, src + start, n - start);
}

/* Unmask n < STEP bytes: non-zero when one of them is above 7F. As in fw_words_unmask, everything is loaded first. */
FW_INLINE uint64_t unmask_rest(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, const int store)
{
    if (n < 32)
        return fw_words_unmask(dst, src, n, key, store);

    vec head_key = v_key(key);
    vec tail_key = v_key(fw_key_at(key, n));
    vec head = v_xor(v_load(src), head_key);
    vec tail = v_xor(v_load(src + n - VEC), tail_key);
    vec seen = v_or(head, tail);

    if (n > 2 * VEC) {
        vec second = v_xor(v_load(src + VEC), head_key);
        vec third = v_xor(v_load(src + n - 2 * VEC), tail_key);

        seen = v_or(seen, v_or(second, third));
        if (store) {
            v_store(dst + VEC, second);
            v_store(dst + n - 2 * VEC, third);
        }
    }
    if (store) {
        v_store(dst, head);
        v_store(dst + n - VEC, tail);
    }
    return v_high(seen);
}

/* Unmask as many whole steps as are ASCII, and return their bytes; nothing is written of the step that is not. */
FW_INLINE size_t unmask_ascii(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, const int mask)
{
    vec keys = v_key(key);
    size_t i = 0;

    for (; n - i >= STEP; i += STEP) {
        vec block[4];

        for (int k = 0; k < 4; k++) {
            block[k] = v_load(src + i + k * VEC);
            block[k] = mask ? v_xor(block[k], keys) : block[k];
        }
        if (v_high(v_or(v_or(block[0], block[1]), v_or(block[2], block[3]))))
            break;
        for (int k = 0; k < 4 && mask; k++)
            v_store(dst + i + k * VEC, block[k]);
    }
    return i;
}

/* The long loop, from a character's start; n >= STEP. With mask == 0 it only validates src. */
FW_INLINE size_t validate_long(fw_utf8 *text, uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, const int mask)
{
    const uint8_t *out = mask ? dst : src;
    vec keys = v_key(key);
    vec before = v_splat(0);
    int open = 0; /* the block before has to be looked at once more */
    size_t i = 0;

    for (; n - i >= STEP; i += STEP) {
        vec block[4];

        for (int k = 0; k < 4; k++) {
            block[k] = v_load(src + i + k * VEC);
            if (mask) {
                block[k] = v_xor(block[k], keys);
                v_store(dst + i + k * VEC, block[k]);
            }
        }

        vec wrong;

        if (!v_high(v_or(v_or(block[0], block[1]), v_or(block[2], block[3])))) {
            if (!open)
                continue;
            wrong = wrong_after(block[0], before);
            open = 0;
        } else {
            wrong = v_or(v_or(wrong_after(block[0], before), wrong_after(block[1], block[0])),
                         v_or(wrong_after(block[2], block[1]), wrong_after(block[3], block[2])));
            open = 1;
            text->nonascii = 1;
        }
        if (v_any(wrong))
            return first_wrong(out, i, i + STEP);
        before = block[3];
    }

    uint64_t high = unmask_rest(mask ? dst + i : NULL, src + i, n - i, key, mask);
    size_t start = fw_utf8_last_start(out, i);

    if (start == i && !high)
        return n;
    return start + validate_rest(text, out + start, n - start);
}

/* The character that the call before left open: how many bytes it took, and text->state is 0 or all n are used; or the
 * index of a wrong byte, and text->state is FW_UTF8_WRONG. */
static size_t finish_open(fw_utf8 *text, uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, int mask)
{
    size_t i = 0;

    for (; i < n && text->state != FW_UTF8_BOUNDARY; i++) {
        uint8_t octet = src[i];

        if (mask)
            dst[i] = octet ^= fw_key_first(fw_key_at(key, i));
        text->state = fw_utf8_next(text->state, octet);
        if (text->state == FW_UTF8_WRONG)
            break;
    }
    return i;
}

FW_INLINE size_t validate_any(fw_utf8 *text, uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, const int mask)
{
    size_t done = 0;

    if (text->state != FW_UTF8_BOUNDARY) {
        done = finish_open(text, dst, src, n, key, mask);
        if (done == n || text->state == FW_UTF8_WRONG)
            return done;
        key = fw_key_at(key, done);
        dst = mask ? dst + done : NULL;
        src += done;
        n -= done;
    }

    size_t ascii = unmask_ascii(dst, src, n, key, mask);

    dst = mask ? dst + ascii : NULL;
    src += ascii;
    n -= ascii;
    done += ascii;
    if (n >= STEP)
        return done + validate_long(text, dst, src, n, key, mask);
    if (!unmask_rest(dst, src, n, key, mask))
        return done + n;
    return done + validate_rest(text, mask ? dst : src, n);
}

FW_TARGET static size_t validate(fw_utf8 *text, const uint8_t *src, size_t n)
{
    return validate_any(text, NULL, src, n, 0, 0);
}

FW_TARGET static size_t unmask_validate(fw_utf8 *text, uint8_t *dst, const uint8_t *src, size_t n, uint32_t key,
                                        size_t phase)
{
    return validate_any(text, dst, src, n, fw_key_at(key, phase), 1);
}

FW_TARGET static void unmask(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, size_t phase)
{
    key = fw_key_at(key, phase);

    vec keys = v_key(key);
    size_t i = 0;

    for (; n - i >= STEP; i += STEP)
        for (int k = 0; k < 4; k++)
            v_store(dst + i + k * VEC, v_xor(v_load(src + i + k * VEC), keys));
    unmask_rest(dst + i, src + i, n - i, key, 1);
}

/* fw_text_size.width: C4 begins U+0100, F0 begins U+10000, and bytes that begin no character are lower than both. */
FW_INLINE uint32_t width_of(vec highest)
{
    if (v_any(v_subs(highest, v_splat(0xEF))))
        return 4;
    return v_any(v_subs(highest, v_splat(0xC3))) ? 2 : 1;
}

FW_TARGET static fw_text_size measure(const uint8_t *src, size_t n)
{
    fw_text_size size = {0, 1};
    vec highest = v_splat(0);
    size_t i = 0;

    while (n - i >= VEC) {
        vec starts = v_splat(0);

        /* A counter of eight bits holds 255. */
        for (int rounds = 0; rounds < 255 && n - i >= VEC; rounds++, i += VEC) {
            vec block = v_load(src + i);

            highest = v_max(highest, block);
            starts = v_sub(starts, v_starts(block));
        }
        size.points += v_sum(starts);
    }
    if (i < n) {
        size_t counted = VEC - (n - i); /* of the last vector, at its start */
        uint8_t padded[VEC] = {0};
        const uint8_t *last = n < VEC ? padded : src + n - VEC;

        if (n < VEC)
            memcpy(padded + counted, src, n);

        vec block = v_load(last);

        highest = v_max(highest, block);
        size.points += (size_t)__builtin_popcountll(v_starts_mask(block) >> counted);
    }
    size.width = width_of(highest);
    return size;
}
