/* Which implementations there are, and which of them this CPU can run. */
#include "implementations.h"

#include <string.h>

static int always(void)
{
    return 1;
}

#if defined(__x86_64__)
static int has_sse41(void)
{
    return __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("popcnt");
}

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}
#endif

/* Best first. */
static const struct {
    const fw_kernels *kernels;
    int (*supported)(void);
} implementations[] = {
#if defined(__x86_64__)
    {&fw_kernels_avx2, has_avx2},
    {&fw_kernels_sse41, has_sse41},
#elif defined(__aarch64__)
    {&fw_kernels_neon, always}, /* part of the architecture */
#endif
    {&fw_kernels_scalar, always},
};

enum { IMPLEMENTATIONS = sizeof implementations / sizeof implementations[0] };

static const fw_kernels *available[IMPLEMENTATIONS + 1];

/* A constructor: done before any thread can ask, so the list needs no lock. */
__attribute__((constructor)) static void find_available(void)
{
    size_t count = 0;

#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    for (size_t i = 0; i < IMPLEMENTATIONS; i++)
        if (implementations[i].supported())
            available[count++] = implementations[i].kernels;
}

const fw_kernels *const *fw_kernels_available(void)
{
    return available;
}

const fw_kernels *fw_kernels_find(const char *name)
{
    for (size_t i = 0; available[i]; i++)
        if (strcmp(available[i]->name, name) == 0)
            return available[i];
    return NULL;
}
