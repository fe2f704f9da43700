// Rows of other software's files, read in place: bfloat16 and fp8 of safetensors, the block formats of GGUF. Values equal
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

// 20 bytes for 32 values: float16 scale and minimum, then nibbles as in q4_0.
static int el_decode_q4_1_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 32, row += 20) {
        uint16_t half = el_load16(row), half_min = el_load16(row + 2);
        float scale = el_half_value(half), least = el_half_value(half_min);
        bad |= el_half_is_bad(half) | el_half_is_bad(half_min);
        for (int i = 0; i < 16; i++) {
            float low = (float)(row[4 + i] & 15) * scale, high = (float)(row[4 + i] >> 4) * scale;
            out[start + i] = low + least;
            out[start + 16 + i] = high + least;
        }
    }
    return bad;
}

// The 5-bit codes of 32 values: a bit of each in 4 bytes, then nibbles as in q4_0.
static void five_bits(const uint8_t *row, int *codes) {
    uint32_t bits = el_load16(row) | (uint32_t)el_load16(row + 2) << 16;
    for (int i = 0; i < 16; i++) {
        codes[i] = (row[4 + i] & 15) | (int)(bits >> i & 1) << 4;
        codes[16 + i] = row[4 + i] >> 4 | (int)(bits >> (16 + i) & 1) << 4;
    }
}

// 22 bytes for 32 values: float16 scale, codes.
static int el_decode_q5_0_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0, codes[32];
    for (int64_t start = 0; start < dim; start += 32, row += 22) {
        uint16_t half = el_load16(row);
        float scale = el_half_value(half);
        bad |= el_half_is_bad(half);
        five_bits(row + 2, codes);
        for (int i = 0; i < 32; i++) out[start + i] = (float)(codes[i] - 16) * scale;
    }
    return bad;
}

// 24 bytes for 32 values: float16 scale and minimum, codes.
static int el_decode_q5_1_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0, codes[32];
    for (int64_t start = 0; start < dim; start += 32, row += 24) {
        uint16_t half = el_load16(row), half_min = el_load16(row + 2);
        float scale = el_half_value(half), least = el_half_value(half_min);
        bad |= el_half_is_bad(half) | el_half_is_bad(half_min);
        five_bits(row + 4, codes);
        for (int i = 0; i < 32; i++) {
            float product = (float)codes[i] * scale;
            out[start + i] = product + least;
        }
    }
    return bad;
}

static void from_codebook(const uint8_t *nibbles, const int8_t *codebook, float scale, float *out) {
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)codebook[nibbles[i] & 15];
        out[16 + i] = scale * (float)codebook[nibbles[i] >> 4];
    }
}

// 18 bytes for 32 values: float16 scale, nibbles that choose one of 16 values.
static int el_decode_iq4_nl_plain(const uint8_t *row, float *out, int64_t dim) {
    static const int8_t codebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 32, row += 18) {
        uint16_t half = el_load16(row);
        bad |= el_half_is_bad(half);
        from_codebook(row + 2, codebook, el_half_value(half), out + start);
    }
    return bad;
}

// 17 bytes for 32 values: a power of two, nibbles that are e2m1 numbers (here doubled, so the power is halved).
static int el_decode_mxfp4_plain(const uint8_t *row, float *out, int64_t dim) {
    static const int8_t codebook[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    for (int64_t start = 0; start < dim; start += 32, row += 17) {
        uint32_t bits = row[0] < 2 ? 0x00200000u << row[0] : (uint32_t)(row[0] - 1) << 23;
        float scale;
        memcpy(&scale, &bits, 4);
        from_codebook(row + 1, codebook, scale, out + start);
    }
    return 0;
}

// Scale and minimum of one of eight blocks, 6 bits each in 12 bytes.
static void factors(const uint8_t *packed, int block, int *factor, int *minimum) {
    if (block < 4) {
        *factor = packed[block] & 63;
        *minimum = packed[block + 4] & 63;
    } else {
        *factor = (packed[block + 4] & 15) | (packed[block - 4] >> 6) << 4;
        *minimum = packed[block + 4] >> 4 | (packed[block] >> 6) << 4;
    }
}

// 256 values: float16 scale of the scales and of the minima, these, then (q5_k) 32 bytes with the blocks' fifth bits, then
// 32-byte groups whose low nibbles are one block of 32 values and the high ones the next.
static int k_blocks(const uint8_t *row, float *out, const uint8_t *fifth, const uint8_t *codes) {
    uint16_t half = el_load16(row), half_min = el_load16(row + 2);
    float scale = el_half_value(half), scale_min = el_half_value(half_min);
    for (int block = 0; block < 8; block++) {
        int factor, minimum;
        factors(row + 4, block, &factor, &minimum);
        float block_scale = scale * (float)factor, block_min = scale_min * (float)minimum;
        for (int i = 0; i < 32; i++) {
            int code = codes[block / 2 * 32 + i] >> block % 2 * 4 & 15;
            if (fifth != NULL) code |= (fifth[i] >> block & 1) << 4;
            float product = block_scale * (float)code;
            out[block * 32 + i] = product - block_min;
        }
    }
    return el_half_is_bad(half) | el_half_is_bad(half_min);
}

// 144 bytes for 256 values.
static int el_decode_q4_k_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 256, row += 144) bad |= k_blocks(row, out + start, NULL, row + 16);
    return bad;
}

// 176 bytes for 256 values.
static int el_decode_q5_k_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 256, row += 176) bad |= k_blocks(row, out + start, row + 16, row + 48);
    return bad;
}

// 210 bytes for 256 values: low nibbles, pairs of high bits, int8 scales of 16 values each, float16 scale of these.
static int el_decode_q6_k_plain(const uint8_t *row, float *out, int64_t dim) {
    int bad = 0;
    for (int64_t start = 0; start < dim; start += 256, row += 210) {
        uint16_t half = el_load16(row + 208);
        float scale = el_half_value(half);
        bad |= el_half_is_bad(half);
        for (int i = 0; i < 256; i++) {
            int part = i / 128, quarter = i / 32 % 4, l = i % 32; // each half of the values: four quarters side by side
            int low = row[part * 64 + quarter % 2 * 32 + l] >> quarter / 2 * 4 & 15;
            int high = row[128 + part * 32 + l] >> quarter * 2 & 3;
            float block_scale = scale * (float)(int8_t)row[192 + i / 16];
            out[start + i] = block_scale * (float)((low | high << 4) - 32);
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
    table[EL_Q4_1] = el_decode_q4_1_plain;
    table[EL_Q5_0] = el_decode_q5_0_plain;
    table[EL_Q5_1] = el_decode_q5_1_plain;
    table[EL_IQ4_NL] = el_decode_iq4_nl_plain;
    table[EL_MXFP4] = el_decode_mxfp4_plain;
    table[EL_Q4_K] = el_decode_q4_k_plain;
    table[EL_Q5_K] = el_decode_q5_k_plain;
    table[EL_Q6_K] = el_decode_q6_k_plain;
}
