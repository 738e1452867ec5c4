/* What the implementations share with the dispatch and with each other, and nobody else needs. */
#ifndef FW_IMPLEMENTATIONS_H
#define FW_IMPLEMENTATIONS_H

#include "fw_kernels.h"

extern const fw_kernels fw_kernels_scalar;
#if defined(__x86_64__)
extern const fw_kernels fw_kernels_sse41;
extern const fw_kernels fw_kernels_avx2;
#elif defined(__aarch64__)
extern const fw_kernels fw_kernels_neon;
#endif

#endif
