/* What libFuzzer asks when it wants an input changed, or two of them crossed: functions that Python sets.
 *
 * atheris has custom mutators of its own, but not where its runtime is preloaded, which native code needs: libFuzzer
 * looks the name up when it is loaded, before there is any Python. This library is preloaded beside it and has the names.
 */
#include <stddef.h>
#include <stdint.h>

typedef size_t (*fw_mutator)(uint8_t *data, size_t size, size_t longest, unsigned seed);
typedef size_t (*fw_crossing)(const uint8_t *one, size_t one_size, const uint8_t *other, size_t other_size,
                              uint8_t *out, size_t longest, unsigned seed);

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t longest);

static fw_mutator chosen;
static fw_crossing crossing;

/* Until then: libFuzzer's own mutations, and no crossing but theirs. */
void fw_set_mutator(fw_mutator mutator, fw_crossing cross)
{
    chosen = mutator;
    crossing = cross;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t longest, unsigned seed)
{
    return chosen ? chosen(data, size, longest, seed) : LLVMFuzzerMutate(data, size, longest);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other, size_t other_size,
                                 uint8_t *out, size_t longest, unsigned seed)
{
    return crossing ? crossing(one, one_size, other, other_size, out, longest, seed) : 0;
}
