// Row kernels: the bytes of one row -> float32. One function an encoding and an instruction set.
#ifndef EL_DECODE_H
#define EL_DECODE_H

#include <stddef.h>
#include <stdint.h>

enum {
    EL_INT8,
    EL_INT4,
    EL_FP8_E4M3,
    EL_FLOAT16,
    EL_FLOAT32,
    // Only in other software's files (decode_linked.c).
    EL_BFLOAT16,
    EL_FP8_E4M3_UNSCALED,
    EL_FP8_E4M3_FLOAT32, // one scale a row
    EL_FP8_E4M3_FLOAT16,
    EL_FP8_E4M3_BFLOAT16,
    EL_Q8_0,
    EL_Q4_0,
    EL_Q4_1,
    EL_Q5_0,
    EL_Q5_1,
    EL_IQ4_NL,
    EL_MXFP4,
    EL_Q4_K,
    EL_Q5_K,
    EL_Q6_K,
    EL_N_ENCODINGS
};

// row: codes, then scales (docs/format.md). Returns 0, or 1 where a scale is NaN or infinite (out is then not to be used).
typedef int el_decode_fn(const uint8_t *row, float *out, int64_t dim);

extern el_decode_fn *el_decode[EL_N_ENCODINGS];              // chosen by el_cpu_enable
extern const char *const el_encoding_names[EL_N_ENCODINGS]; // as config.json and the table file spell them

// Each fills the entries it has a kernel for.
void el_decode_use_plain(el_decode_fn **table);
void el_decode_use_linked(el_decode_fn **table);
void el_decode_use_avx2(el_decode_fn **table);
void el_decode_use_avx512(el_decode_fn **table);
void el_decode_use_neon(el_decode_fn **table);

extern float el_e4m3_value[256]; // filled by el_decode_use_plain
float el_half_value(uint16_t half);
float el_ue8m0_value(uint8_t exponent);

static inline uint16_t el_load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline int el_half_is_bad(uint16_t half) { return (half & 0x7c00) == 0x7c00; }

#endif
