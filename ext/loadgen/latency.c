/* A log-linear histogram: exact below 64 ns, then 32 buckets for each power of two, so that a bucket is at most 1/32 wide. */

#include "connection.h"

static size_t bucket_of(uint64_t ns) {
    if (ns < 64) {
        return (size_t)ns;
    }
    const unsigned shift = 58u - (unsigned)__builtin_clzll(ns); /* 1 for 64 to 127 */
    const size_t bucket = (size_t)shift * 32 + (size_t)(ns >> shift);
    return bucket < LOAD_BUCKETS ? bucket : LOAD_BUCKETS - 1;
}

static uint64_t upper_end(size_t bucket) {
    if (bucket < 64) {
        return bucket;
    }
    const unsigned shift = (unsigned)(bucket / 32 - 1);
    return (((uint64_t)(bucket - (size_t)shift * 32) + 1) << shift) - 1;
}

void record_latency(load_report *report, uint64_t ns) {
    report->buckets[bucket_of(ns)]++;
    if (ns > report->longest) {
        report->longest = ns;
    }
}

uint64_t load_quantile(const load_report *report, double share) {
    uint64_t total = 0, seen = 0;
    for (size_t at = 0; at < LOAD_BUCKETS; at++) {
        total += report->buckets[at];
    }
    if (total == 0) {
        return 0;
    }
    /* The smallest bucket that has this share of all answers in it or below it. */
    const double wanted = share * (double)total;
    for (size_t at = 0; at < LOAD_BUCKETS; at++) {
        seen += report->buckets[at];
        if (seen > 0 && (double)seen >= wanted) {
            const uint64_t end = upper_end(at);
            return end < report->longest ? end : report->longest;
        }
    }
    return report->longest;
}
