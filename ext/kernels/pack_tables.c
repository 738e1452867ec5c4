#include "pack_tables.h"

#include <string.h>

uint8_t fw_pack8[256][8];
uint8_t fw_pack16[256][16];

/* A constructor: done before any thread can ask, so the tables need no lock, and 6 KiB need not stand in the source. */
__attribute__((constructor)) static void fill_pack_tables(void)
{
    memset(fw_pack8, 0x80, sizeof fw_pack8);
    memset(fw_pack16, 0x80, sizeof fw_pack16);
    for (unsigned wanted = 0; wanted < 256; wanted++) {
        unsigned count = 0;

        for (unsigned bit = 0; bit < 8; bit++) {
            if (!(wanted >> bit & 1))
                continue;
            fw_pack8[wanted][count] = (uint8_t)bit;
            fw_pack16[wanted][2 * count] = (uint8_t)(2 * bit);
            fw_pack16[wanted][2 * count + 1] = (uint8_t)(2 * bit + 1);
            count++;
        }
    }
}
