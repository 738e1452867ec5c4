/* Time, in nanoseconds. */

#include "connection.h"

#include <time.h>

static uint64_t read_clock(clockid_t which) {
    struct timespec time;
    clock_gettime(which, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t clock_now(void) { return read_clock(CLOCK_MONOTONIC); }

uint64_t clock_of_this_thread(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }
