/* Shuffles that move the wanted ones of eight elements to the front, one for each set of wanted ones.
 *
 * Row m of fw_pack8 lists the numbers of the bits that are set in m, in rising order; row m of fw_pack16 the two bytes
 * of each such 16-bit element. The rest of a row is 0x80, which shuffles in a zero.
 */
#ifndef FW_PACK_TABLES_H
#define FW_PACK_TABLES_H

#include <stdint.h>

extern uint8_t fw_pack8[256][8];
extern uint8_t fw_pack16[256][16];

#endif
