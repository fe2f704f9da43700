// The kernels every machine has.
#include <math.h>
#include <string.h>

#include "decode.h"

el_decode_fn *el_decode[EL_N_ENCODINGS];
const char *const el_encoding_names[EL_N_ENCODINGS] = {
    [EL_INT8] = "int8",
    [EL_INT4] = "int4",
    [EL_FP8_E4M3] = "fp8_e4m3",
    [EL_FLOAT16] = "float16",
    [EL_FLOAT32] = "float32",
    [EL_BFLOAT16] = "bfloat16",
    [EL_FP8_E4M3_UNSCALED] = "fp8_e4m3_unscaled",
    [EL_FP8_E4M3_FLOAT32] = "fp8_e4m3_float32",
    [EL_FP8_E4M3_FLOAT16] = "fp8_e4m3_float16",
    [EL_FP8_E4M3_BFLOAT16] = "fp8_e4m3_bfloat16",
    [EL_Q8_0] = "q8_0",
    [EL_Q4_0] = "q4_0",
    [EL_Q4_1] = "q4_1",
    [EL_Q5_0] = "q5_0",
    [EL_Q5_1] = "q5_1",
    [EL_IQ4_NL] = "iq4_nl",
    [EL_MXFP4] = "mxfp4",
    [EL_Q4_K] = "q4_k",
    [EL_Q5_K] = "q5_k",
    [EL_Q6_K] = "q6_k",
};
float el_e4m3_value[256];

float el_half_value(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7fff, bits;
    float value;
    if (magnitude < 0x0400) { // zero or subnormal: magnitude * 2**-24
        value = (float)magnitude * 0x1p-24f;
        return sign ? -value : value;
    }
    bits = sign | (magnitude >= 0x7c00 ? 0x7f800000 | (magnitude & 0x3ff) << 13 : (magnitude << 13) + (112u << 23));
    memcpy(&value, &bits, 4);
    return value;
}

float el_ue8m0_value(uint8_t exponent) {
    uint32_t bits = exponent ? (uint32_t)exponent << 23 : 0x00400000; // 2**(exponent - 127); the first is subnormal
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static float e4m3_value(int code) {
    int exponent = code >> 3 & 15, mantissa = code & 7;
    float value = exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
    if ((code & 0x7f) == 0x7f) value = NAN;
    return code & 0x80 ? -value : value;
}

static int el_decode_int8_plain(const uint8_t *row, float *out, int64_t dim) {
    uint16_t half = el_load16(row + dim);
    float scale = el_half_value(half);
    for (int64_t i = 0; i < dim; i++) out[i] = (float)(int8_t)row[i] * scale;
    return el_half_is_bad(half);
}

static int el_decode_int4_plain(const uint8_t *row, float *out, int64_t dim) {
    const uint8_t *scales = row + (dim + 1) / 2;
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 32, scales += 2) {
        int64_t end = start + 32 < dim ? start + 32 : dim;
        uint16_t half = el_load16(scales);
        float scale = el_half_value(half);
        bad |= el_half_is_bad(half);
        for (int64_t i = start; i < end; i++) out[i] = (float)((row[i / 2] >> (i & 1) * 4 & 15) - 8) * scale;
    }
    return bad;
}

static int el_decode_fp8_e4m3_plain(const uint8_t *row, float *out, int64_t dim) {
    const uint8_t *scales = row + dim;
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 32, scales++) {
        int64_t end = start + 32 < dim ? start + 32 : dim;
        float scale = el_ue8m0_value(*scales);
        bad |= *scales == 255;
        for (int64_t i = start; i < end; i++) out[i] = el_e4m3_value[row[i]] * scale;
    }
    return bad;
}

static int el_decode_float16_plain(const uint8_t *row, float *out, int64_t dim) {
    for (int64_t i = 0; i < dim; i++) out[i] = el_half_value(el_load16(row + 2 * i));
    return 0;
}

static int el_decode_float32_plain(const uint8_t *row, float *out, int64_t dim) {
    memcpy(out, row, (size_t)dim * 4);
    return 0;
}

void el_decode_use_plain(el_decode_fn **table) {
    for (int code = 0; code < 256; code++) el_e4m3_value[code] = e4m3_value(code);
    table[EL_INT8] = el_decode_int8_plain;
    table[EL_INT4] = el_decode_int4_plain;
    table[EL_FP8_E4M3] = el_decode_fp8_e4m3_plain;
    table[EL_FLOAT16] = el_decode_float16_plain;
    table[EL_FLOAT32] = el_decode_float32_plain;
}
