#include "instruction_sets.h"

#ifdef EL_HAVE_X86
#include <immintrin.h>
#include <string.h>

#include "decode.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#endif

static inline __mmask16 first16(int64_t n) { return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1); }

static int el_decode_int8_avx512(const uint8_t *row, float *out, int64_t dim) {
    uint16_t half = el_load16(row + dim);
    __m512 scale = _mm512_cvtph_ps(_mm256_set1_epi16((short)half));
    int64_t i = 0;
    for (; i + 16 <= dim; i += 16) {
        __m128i codes = _mm_loadu_si128((const __m128i *)(row + i));
        _mm512_storeu_ps(out + i, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)), scale));
    }
    if (i < dim) {
        __mmask16 lanes = first16(dim - i);
        __m128i codes = _mm_maskz_loadu_epi8(lanes, row + i);
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)), scale));
    }
    return el_half_is_bad(half);
}

static int el_decode_int4_avx512(const uint8_t *row, float *out, int64_t dim) {
    const uint8_t *scales = row + (dim + 1) / 2;
    const __m128i low = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
    int bad = 0;
    for (int64_t i = 0; i < dim; i += 32, scales += 2) {
        int64_t left = dim - i;
        uint16_t half = el_load16(scales);
        __m512 scale = _mm512_cvtph_ps(_mm256_set1_epi16((short)half));
        __m128i bytes = _mm_maskz_loadu_epi8(first16((left + 1) / 2), row + i / 2);
        __m128i even = _mm_and_si128(bytes, low), odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), low);
        __m128i a = _mm_sub_epi8(_mm_unpacklo_epi8(even, odd), eight);
        __m128i b = _mm_sub_epi8(_mm_unpackhi_epi8(even, odd), eight);
        _mm512_mask_storeu_ps(out + i, first16(left),
                              _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(a)), scale));
        if (left > 16)
            _mm512_mask_storeu_ps(out + i + 16, first16(left - 16),
                                  _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b)), scale));
        bad |= el_half_is_bad(half);
    }
    return bad;
}

// e4m3 code s.eeee.mmm -> half s.0eeee.mmm0000000, which is 2**-8 of its value, subnormals included.
static inline __m512 e4m3_ps(__m128i codes) {
    __m256i wide = _mm256_cvtepu8_epi16(codes), sign = _mm256_and_si256(wide, _mm256_set1_epi16(0x80));
    __m256i magnitude = _mm256_and_si256(wide, _mm256_set1_epi16(0x7f));
    __m256i half = _mm256_or_si256(_mm256_slli_epi16(sign, 8), _mm256_slli_epi16(magnitude, 7));
    half = _mm256_mask_mov_epi16(half, _mm256_cmpeq_epi16_mask(magnitude, _mm256_set1_epi16(0x7f)),
                                 _mm256_set1_epi16(0x7e00));
    return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f));
}

static int el_decode_fp8_e4m3_avx512(const uint8_t *row, float *out, int64_t dim) {
    const uint8_t *scales = row + dim;
    int bad = 0;
    for (int64_t i = 0; i < dim; i += 16) {
        uint8_t exponent = scales[i / 32];
        __mmask16 lanes = first16(dim - i);
        __m128i codes = _mm_maskz_loadu_epi8(lanes, row + i);
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(e4m3_ps(codes), _mm512_set1_ps(el_ue8m0_value(exponent))));
        bad |= exponent == 255;
    }
    return bad;
}

static int el_decode_float16_avx512(const uint8_t *row, float *out, int64_t dim) {
    for (int64_t i = 0; i < dim; i += 16) {
        __mmask16 lanes = first16(dim - i);
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, row + 2 * i)));
    }
    return 0;
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void el_decode_use_avx512(el_decode_fn **table) {
    table[EL_INT8] = el_decode_int8_avx512;
    table[EL_INT4] = el_decode_int4_avx512;
    table[EL_FP8_E4M3] = el_decode_fp8_e4m3_avx512;
    table[EL_FLOAT16] = el_decode_float16_avx512;
}
#else
typedef int el_no_avx512;
#endif
