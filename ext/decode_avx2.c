#include "instruction_sets.h"

#ifdef EL_HAVE_X86
#include <immintrin.h>
#include <string.h>

#include "decode.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,f16c")
#endif

// Tails shorter than a vector go through a zeroed buffer and the same kernel, so that one arithmetic serves all.
static inline __m256 scaled(__m128i codes, __m256 scale) {
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)), scale);
}

static inline __m128i load8(const uint8_t *p) { return _mm_loadl_epi64((const __m128i *)p); }

static inline void store_first(float *out, __m256 values, int64_t n) {
    float buffer[8];
    _mm256_storeu_ps(buffer, values);
    memcpy(out, buffer, (size_t)n * 4);
}

static int el_decode_int8_avx2(const uint8_t *row, float *out, int64_t dim) {
    uint16_t half = el_load16(row + dim);
    __m256 scale = _mm256_set1_ps(_cvtsh_ss(half));
    int64_t i = 0;
    for (; i + 8 <= dim; i += 8) _mm256_storeu_ps(out + i, scaled(load8(row + i), scale));
    if (i < dim) {
        uint8_t tail[8] = {0};
        memcpy(tail, row + i, (size_t)(dim - i));
        store_first(out + i, scaled(load8(tail), scale), dim - i);
    }
    return el_half_is_bad(half);
}

static int el_decode_int4_avx2(const uint8_t *row, float *out, int64_t dim) {
    const uint8_t *scales = row + (dim + 1) / 2;
    const __m128i low = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
    int bad = 0;
    for (int64_t i = 0; i < dim; i += 32, scales += 2) {
        int64_t left = dim - i;
        uint8_t tail[16] = {0};
        const uint8_t *bytes_at = row + i / 2;
        if (left < 32) bytes_at = memcpy(tail, bytes_at, (size_t)(left + 1) / 2);
        uint16_t half = el_load16(scales);
        __m256 scale = _mm256_set1_ps(_cvtsh_ss(half));
        __m128i bytes = _mm_loadu_si128((const __m128i *)bytes_at);
        __m128i even = _mm_and_si128(bytes, low), odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), low);
        __m128i a = _mm_sub_epi8(_mm_unpacklo_epi8(even, odd), eight);
        __m128i b = _mm_sub_epi8(_mm_unpackhi_epi8(even, odd), eight);
        __m128i quarters[4] = {a, _mm_srli_si128(a, 8), b, _mm_srli_si128(b, 8)};
        for (int64_t q = 0; q < 4 && q * 8 < left; q++) {
            __m256 values = scaled(quarters[q], scale);
            if (left - q * 8 >= 8) _mm256_storeu_ps(out + i + q * 8, values);
            else store_first(out + i + q * 8, values, left - q * 8);
        }
        bad |= el_half_is_bad(half);
    }
    return bad;
}

// e4m3 code s.eeee.mmm -> half s.0eeee.mmm0000000, which is 2**-8 of its value, subnormals included.
static inline __m256 e4m3_ps(__m128i codes) {
    __m128i wide = _mm_cvtepu8_epi16(codes), sign = _mm_and_si128(wide, _mm_set1_epi16(0x80));
    __m128i magnitude = _mm_and_si128(wide, _mm_set1_epi16(0x7f));
    __m128i half = _mm_or_si128(_mm_slli_epi16(sign, 8), _mm_slli_epi16(magnitude, 7));
    half = _mm_blendv_epi8(half, _mm_set1_epi16(0x7e00), _mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x7f)));
    return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0f));
}

static int el_decode_fp8_e4m3_avx2(const uint8_t *row, float *out, int64_t dim) {
    const uint8_t *scales = row + dim;
    int bad = 0;
    for (int64_t i = 0; i < dim; i += 8) {
        uint8_t exponent = scales[i / 32], tail[8] = {0};
        const uint8_t *codes = row + i;
        if (dim - i < 8) codes = memcpy(tail, codes, (size_t)(dim - i));
        __m256 values = _mm256_mul_ps(e4m3_ps(load8(codes)), _mm256_set1_ps(el_ue8m0_value(exponent)));
        if (dim - i >= 8) _mm256_storeu_ps(out + i, values);
        else store_first(out + i, values, dim - i);
        bad |= exponent == 255;
    }
    return bad;
}

static int el_decode_float16_avx2(const uint8_t *row, float *out, int64_t dim) {
    int64_t i = 0;
    for (; i + 8 <= dim; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(row + 2 * i))));
    if (i < dim) {
        uint8_t tail[16] = {0};
        memcpy(tail, row + 2 * i, (size_t)(dim - i) * 2);
        store_first(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)tail)), dim - i);
    }
    return 0;
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void el_decode_use_avx2(el_decode_fn **table) {
    table[EL_INT8] = el_decode_int8_avx2;
    table[EL_INT4] = el_decode_int4_avx2;
    table[EL_FP8_E4M3] = el_decode_fp8_e4m3_avx2;
    table[EL_FLOAT16] = el_decode_float16_avx2;
}
#else
typedef int el_no_avx2;
#endif
