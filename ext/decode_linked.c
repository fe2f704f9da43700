// Rows of other software's files, read in place: bfloat16 and fp8 of safetensors, three block formats of GGUF. Values equal
// those of torch and of the gguf package bit for bit. Plain C: who wants the last nanosecond exports the table.
#include <math.h>
#include <string.h>

#include "decode.h"

static float bfloat16_value(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static int el_decode_bfloat16_plain(const uint8_t *row, float *out, int64_t dim) {
    for (int64_t i = 0; i < dim; i++) out[i] = bfloat16_value(el_load16(row + 2 * i));
    return 0;
}

static int fp8_row(const uint8_t *row, float *out, int64_t dim, float scale) {
    for (int64_t i = 0; i < dim; i++) out[i] = el_e4m3_value[row[i]] * scale;
    return !isfinite(scale);
}

static int el_decode_fp8_e4m3_unscaled_plain(const uint8_t *row, float *out, int64_t dim) {
    return fp8_row(row, out, dim, 1.0f);
}

static int el_decode_fp8_e4m3_float32_plain(const uint8_t *row, float *out, int64_t dim) {
    float scale;
    memcpy(&scale, row + dim, 4);
    return fp8_row(row, out, dim, scale);
}

static int el_decode_fp8_e4m3_float16_plain(const uint8_t *row, float *out, int64_t dim) {
    return fp8_row(row, out, dim, el_half_value(el_load16(row + dim)));
}

static int el_decode_fp8_e4m3_bfloat16_plain(const uint8_t *row, float *out, int64_t dim) {
    return fp8_row(row, out, dim, bfloat16_value(el_load16(row + dim)));
}

// 34 bytes for 32 values: float16 scale, codes.
static int el_decode_q8_0_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 32, row += 34) {
        uint16_t half = el_load16(row);
        float scale = el_half_value(half);
        bad |= el_half_is_bad(half);
        for (int i = 0; i < 32; i++) out[start + i] = (float)(int8_t)row[2 + i] * scale;
    }
    return bad;
}

// 18 bytes for 32 values: float16 scale, then the low nibbles are values 0 to 15 and the high ones 16 to 31.
static int el_decode_q4_0_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 32, row += 18) {
        uint16_t half = el_load16(row);
        float scale = el_half_value(half);
        bad |= el_half_is_bad(half);
        for (int i = 0; i < 16; i++) {
            out[start + i] = (float)((row[2 + i] & 15) - 8) * scale;
            out[start + 16 + i] = (float)((row[2 + i] >> 4) - 8) * scale;
        }
    }
    return bad;
}

// 144 bytes for 256 values: float16 scale of the scales and of the minima, eight of each in 6 bits, then 32-byte groups whose
// low nibbles are one block of 32 values and the high ones the next.
static int el_decode_q4_k_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 256, row += 144) {
        uint16_t half = el_load16(row), half_min = el_load16(row + 2);
        float scale = el_half_value(half), scale_min = el_half_value(half_min);
        const uint8_t *packed = row + 4, *codes = row + 16;
        bad |= el_half_is_bad(half) | el_half_is_bad(half_min);
        for (int block = 0; block < 8; block++) {
            int factor, minimum;
            if (block < 4) {
                factor = packed[block] & 63;
                minimum = packed[block + 4] & 63;
            } else {
                factor = (packed[block + 4] & 15) | (packed[block - 4] >> 6) << 4;
                minimum = packed[block + 4] >> 4 | (packed[block] >> 6) << 4;
            }
            float block_scale = scale * (float)factor, block_min = scale_min * (float)minimum;
            for (int i = 0; i < 32; i++) {
                float product = block_scale * (float)(codes[block / 2 * 32 + i] >> block % 2 * 4 & 15);
                out[start + block * 32 + i] = product - block_min;
            }
        }
    }
    return bad;
}

void el_decode_use_linked(el_decode_fn **table) {
    table[EL_BFLOAT16] = el_decode_bfloat16_plain;
    table[EL_FP8_E4M3_UNSCALED] = el_decode_fp8_e4m3_unscaled_plain;
    table[EL_FP8_E4M3_FLOAT32] = el_decode_fp8_e4m3_float32_plain;
    table[EL_FP8_E4M3_FLOAT16] = el_decode_fp8_e4m3_float16_plain;
    table[EL_FP8_E4M3_BFLOAT16] = el_decode_fp8_e4m3_bfloat16_plain;
    table[EL_Q8_0] = el_decode_q8_0_plain;
    table[EL_Q4_0] = el_decode_q4_0_plain;
    table[EL_Q4_K] = el_decode_q4_k_plain;
}
