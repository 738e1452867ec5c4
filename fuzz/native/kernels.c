/* Invariant: every implementation of the kernels does what the obvious C does, at any alignment, from any phase of the
 * masking-key and cut anywhere, and touches no byte outside its arguments.
 *
 * For libFuzzer, as fast as C goes; fuzz/targets/kernels.py asks the same of the module that Python sees. The first
 * seven bytes of an input choose (key, phase, alignment, cut), the rest is the text. Every buffer is as long as it must
 * be and not a byte longer, so that AddressSanitizer sees what reads or writes past it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fw_kernels.h"
#include "obvious.h"

enum { CHOICES = 7, LONGEST = 4096 };

typedef struct text {
    const uint8_t *bytes;
    size_t size, cut;
    const uint8_t *key;
    size_t phase;
} text;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int held, const char *kernels, const char *what)
{
    if (held)
        return;
    fprintf(stderr, "%s: %s\n", kernels, what);
    abort();
}

static uint32_t word(const uint8_t key[4])
{
    uint32_t value;

    memcpy(&value, key, sizeof value);
    return value;
}

/* A buffer of exactly n bytes that begins `lead` bytes behind an aligned one. */
static uint8_t *exactly(size_t n, size_t lead, void **owner)
{
    uint8_t *begin = malloc(lead + n ? lead + n : 1);

    *owner = begin;
    if (begin == NULL)
        abort();
    return begin + lead;
}

static void check_unmask(const fw_kernels *kernels, const text *t, size_t lead)
{
    void *owner, *other;
    uint8_t *got = exactly(t->size, lead, &owner), *wanted = exactly(t->size, 0, &other);

    obvious_unmask(wanted, t->bytes, t->size, t->key, t->phase);
    kernels->unmask(got, t->bytes, t->size, word(t->key), t->phase);
    must(memcmp(got, wanted, t->size) == 0, kernels->name, "unmask");
    kernels->unmask(got, got, t->size, word(t->key), t->phase);
    must(memcmp(got, t->bytes, t->size) == 0, kernels->name, "unmask in place, back again");
    free(owner);
    free(other);
}

/* In two pieces, the second one by another implementation: they share what they remember. */
static void check_validate(const fw_kernels *kernels, const fw_kernels *other, const text *t)
{
    fw_utf8 state = {0, 0};
    size_t open, wrong = obvious_validate(t->bytes, t->size, &open);
    size_t at = kernels->validate(&state, t->bytes, t->cut);

    if (wrong < t->cut) {
        must(at == wrong, kernels->name, "validate: the first piece");
        return;
    }
    must(at == t->cut, kernels->name, "validate: a fault in a good first piece");
    at = t->cut + other->validate(&state, t->bytes + t->cut, t->size - t->cut);
    must(at == wrong, other->name, "validate: the second piece");
    if (wrong == t->size) {
        must((state.state != 0) == (open != 0), other->name, "validate: a character that is open");
        for (size_t i = 0; i < t->size; i++)
            if (t->bytes[i] & 0x80)
                must(state.nonascii == 1, other->name, "validate: nonascii");
    }
}

static void check_unmask_validate(const fw_kernels *kernels, const text *t, size_t lead)
{
    void *owner, *other;
    uint8_t *masked = exactly(t->size, lead, &owner), *got = exactly(t->size, 0, &other);
    fw_utf8 state = {0, 0};
    size_t open, wrong = obvious_validate(t->bytes, t->size, &open);

    obvious_unmask(masked, t->bytes, t->size, t->key, t->phase);
    must(kernels->unmask_validate(&state, got, masked, t->size, word(t->key), t->phase) == wrong, kernels->name,
         "unmask_validate: where it is wrong");
    if (wrong == t->size)
        must(memcmp(got, t->bytes, t->size) == 0, kernels->name, "unmask_validate: what was written");
    free(owner);
    free(other);
}

static void check_text(const fw_kernels *kernels, const text *t)
{
    const fw_kernels *scalar = fw_kernels_find("scalar");
    size_t open;
    void *got, *wanted, *owner, *other;

    if (obvious_validate(t->bytes, t->size, &open) != t->size || open)
        return;
    fw_text_size size = kernels->measure(t->bytes, t->size), same = scalar->measure(t->bytes, t->size);

    must(size.points == same.points && size.width == same.width, kernels->name, "measure");
    got = exactly(size.points * size.width, 0, &owner);
    wanted = exactly(size.points * size.width, 0, &other);
    kernels->transcode(got, t->bytes, t->size, size);
    scalar->transcode(wanted, t->bytes, t->size, size);
    must(memcmp(got, wanted, size.points * size.width) == 0, kernels->name, "transcode");
    free(owner);
    free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const fw_kernels *const *all = fw_kernels_available();
    void *owner;
    text t;

    if (size < CHOICES || size > LONGEST)
        return 0;
    t.key = data;
    t.phase = data[4] % 4;
    t.size = size - CHOICES;
    t.cut = t.size ? data[6] * 17u % (t.size + 1) : 0;
    for (size_t i = 0; all[i]; i++) {
        uint8_t *copy = exactly(t.size, 0, &owner);

        memcpy(copy, data + CHOICES, t.size);
        t.bytes = copy;
        check_unmask(all[i], &t, data[5] % 64);
        check_validate(all[i], all[i + 1] ? all[i + 1] : all[0], &t);
        check_unmask_validate(all[i], &t, data[5] % 64);
        check_text(all[i], &t);
        free(owner);
    }
    return 0;
}
