/* Memory that ends at a page nobody may touch, on either side: one byte outside is a fault. */
#ifndef GUARDED_H
#define GUARDED_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct guarded {
    uint8_t *start;
    uint8_t *end;
} guarded;

static inline guarded guarded_new(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (size + page - 1) / page * page;
    uint8_t *all = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (all == MAP_FAILED || mprotect(all + page, inner, PROT_READ | PROT_WRITE)) {
        perror("guarded memory");
        exit(2);
    }
    return (guarded){all + page, all + page + inner};
}

/* n bytes that end `distance` bytes before the guard. */
static inline uint8_t *guarded_tail(guarded memory, size_t n, size_t distance)
{
    return memory.end - distance - n;
}

enum { CANARY = 0xA5, CANARIES = 64 };

/* Surround n bytes by canaries, as far as there is room. */
static inline void canaries_set(guarded memory, uint8_t *p, size_t n)
{
    uint8_t *from = p - memory.start > CANARIES ? p - CANARIES : memory.start;
    uint8_t *to = memory.end - (p + n) > CANARIES ? p + n + CANARIES : memory.end;

    memset(from, CANARY, (size_t)(p - from));
    memset(p + n, CANARY, (size_t)(to - (p + n)));
}

static inline int canaries_alive(guarded memory, const uint8_t *p, size_t n)
{
    const uint8_t *from = p - memory.start > CANARIES ? p - CANARIES : memory.start;
    const uint8_t *to = memory.end - (p + n) > CANARIES ? p + n + CANARIES : memory.end;

    for (const uint8_t *c = from; c < to; c++)
        if ((c < p || c >= p + n) && *c != CANARY)
            return 0;
    return 1;
}

#endif
