/* Runs a target for libFuzzer without libFuzzer: the inputs come on standard input, each behind its length (4 bytes,
 * little endian). Where there is no clang, findings and corpora can be replayed all the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST = 1 << 24 };

int main(void)
{
    uint8_t head[4];
    unsigned count = 0;

    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t size = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        uint8_t *data = size <= LARGEST ? malloc(size ? size : 1) : NULL;

        if (data == NULL || fread(data, 1, size, stdin) != size) {
            fprintf(stderr, "input %u is cut, or too large\n", count);
            return 2;
        }
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        count++;
    }
    printf("%u inputs\n", count);
    return 0;
}
