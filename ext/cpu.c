#include "cpu.h"

#include "decode.h"
#include "hash.h"

int el_cpu_detected(void) {
    int found = 0;
#ifdef EL_HAVE_X86
    __builtin_cpu_init();
    // Every CPU with AVX2 also has F16C, which the AVX2 kernels use.
    if (__builtin_cpu_supports("avx2")) found |= EL_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found |= EL_AVX512;
#endif
#ifdef EL_HAVE_NEON
    found |= EL_NEON;
#endif
    return found;
}

static int enabled = -1;

int el_cpu_enabled(void) { return enabled < 0 ? el_cpu_detected() : enabled; }

void el_cpu_enable(int features) {
    enabled = features & el_cpu_detected();
    el_hash_dispatch(enabled);
    el_decode_dispatch(enabled);
}
