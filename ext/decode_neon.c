#include "instruction_sets.h"

#ifdef EL_HAVE_NEON
#include <arm_neon.h>
#include <string.h>

#include "decode.h"

// 8 codes -> 8 floats; a tail goes through a zeroed buffer and the same arithmetic.
static inline void store8(float *out, float32x4_t a, float32x4_t b, int64_t n) {
    if (n >= 8) {
        vst1q_f32(out, a);
        vst1q_f32(out + 4, b);
    } else {
        float buffer[8];
        vst1q_f32(buffer, a);
        vst1q_f32(buffer + 4, b);
        memcpy(out, buffer, (size_t)n * 4);
    }
}

static inline void scale8(float *out, int8x8_t codes, float scale, int64_t n) {
    int16x8_t wide = vmovl_s8(codes);
    store8(out, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), scale),
           vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide))), scale), n);
}

static int el_decode_int8_neon(const uint8_t *row, float *out, int64_t dim) {
    uint16_t half = el_load16(row + dim);
    float scale = el_half_value(half);
    for (int64_t i = 0; i < dim; i += 8) {
        uint8_t tail[8] = {0};
        const uint8_t *codes = row + i;
        if (dim - i < 8) codes = memcpy(tail, codes, (size_t)(dim - i));
        scale8(out + i, vreinterpret_s8_u8(vld1_u8(codes)), scale, dim - i);
    }
    return el_half_is_bad(half);
}

static int el_decode_int4_neon(const uint8_t *row, float *out, int64_t dim) {
    const uint8_t *scales = row + (dim + 1) / 2;
    int bad = 0;
    for (int64_t i = 0; i < dim; i += 16) {
        int64_t left = dim - i;
        uint16_t half = el_load16(scales + i / 32 * 2);
        float scale = el_half_value(half);
        uint8_t tail[8] = {0};
        const uint8_t *bytes_at = row + i / 2;
        if (left < 16) bytes_at = memcpy(tail, bytes_at, (size_t)(left + 1) / 2);
        uint8x8_t bytes = vld1_u8(bytes_at), even = vand_u8(bytes, vdup_n_u8(15)), odd = vshr_n_u8(bytes, 4);
        uint8x8x2_t codes = vzip_u8(even, odd);
        int8x8_t eight = vdup_n_s8(8);
        scale8(out + i, vsub_s8(vreinterpret_s8_u8(codes.val[0]), eight), scale, left);
        if (left > 8) scale8(out + i + 8, vsub_s8(vreinterpret_s8_u8(codes.val[1]), eight), scale, left - 8);
        bad |= el_half_is_bad(half);
    }
    return bad;
}

// e4m3 code s.eeee.mmm -> half s.0eeee.mmm0000000, which is 2**-8 of its value, subnormals included.
static int el_decode_fp8_e4m3_neon(const uint8_t *row, float *out, int64_t dim) {
    const uint8_t *scales = row + dim;
    int bad = 0;
    for (int64_t i = 0; i < dim; i += 8) {
        uint8_t tail[8] = {0};
        const uint8_t *codes = row + i;
        if (dim - i < 8) codes = memcpy(tail, codes, (size_t)(dim - i));
        float scale = el_ue8m0_value(scales[i / 32]);
        uint16x8_t wide = vmovl_u8(vld1_u8(codes)), magnitude = vandq_u16(wide, vdupq_n_u16(0x7f));
        uint16x8_t half = vorrq_u16(vshlq_n_u16(vandq_u16(wide, vdupq_n_u16(0x80)), 8), vshlq_n_u16(magnitude, 7));
        half = vbslq_u16(vceqq_u16(magnitude, vdupq_n_u16(0x7f)), vdupq_n_u16(0x7e00), half);
        float32x4_t a = vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(half)));
        float32x4_t b = vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(half)));
        store8(out + i, vmulq_n_f32(vmulq_n_f32(a, 256.0f), scale), vmulq_n_f32(vmulq_n_f32(b, 256.0f), scale), dim - i);
        bad |= scales[i / 32] == 255;
    }
    return bad;
}

static int el_decode_float16_neon(const uint8_t *row, float *out, int64_t dim) {
    for (int64_t i = 0; i < dim; i += 8) {
        uint8_t tail[16] = {0};
        const uint8_t *halves = row + 2 * i;
        if (dim - i < 8) halves = memcpy(tail, halves, (size_t)(dim - i) * 2);
        uint16x8_t half = vreinterpretq_u16_u8(vld1q_u8(halves));
        store8(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(half))),
               vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(half))), dim - i);
    }
    return 0;
}

void el_decode_use_neon(el_decode_fn **table) {
    table[EL_INT8] = el_decode_int8_neon;
    table[EL_INT4] = el_decode_int4_neon;
    table[EL_FP8_E4M3] = el_decode_fp8_e4m3_neon;
    table[EL_FLOAT16] = el_decode_float16_neon;
}
#else
typedef int el_no_neon;
#endif
