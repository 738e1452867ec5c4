/* What libFuzzer asks when it wants an input changed: a function that Python sets.
 *
 * atheris has custom mutators of its own, but not where its runtime is preloaded, which native code needs: libFuzzer
 * looks the name up when it is loaded, before there is any Python. This library is preloaded beside it and has the name.
 */
#include <stddef.h>
#include <stdint.h>

typedef size_t (*fw_mutator)(uint8_t *data, size_t size, size_t longest, unsigned seed);

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t longest);

static fw_mutator chosen;

/* NULL: libFuzzer's own mutations. */
void fw_set_mutator(fw_mutator mutator)
{
    chosen = mutator;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t longest, unsigned seed)
{
    return chosen ? chosen(data, size, longest, seed) : LLVMFuzzerMutate(data, size, longest);
}
