#include "cpu.h"

#include "decode.h"
#include "instruction_sets.h"
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

static void choose_decoders(int features) {
    el_decode_use_plain(el_decode);
    el_decode_use_linked(el_decode);
#ifdef EL_HAVE_X86
    if (features & EL_AVX2) el_decode_use_avx2(el_decode);
    if (features & EL_AVX512) el_decode_use_avx512(el_decode);
#endif
#ifdef EL_HAVE_NEON
    if (features & EL_NEON) el_decode_use_neon(el_decode);
#endif
    (void)features;
}

void el_cpu_enable(int features) {
    enabled = features & el_cpu_detected();
    el_hash_dispatch(enabled);
    choose_decoders(enabled);
}
