#include "hash.h"

#include "cpu.h"

typedef void heads_fn(uint64_t mix, const el_hash_order *order, int64_t *rows);

static inline uint64_t high_product(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
#else
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0, mid = a1 * b0 + (low >> 32), cross = a0 * b1 + (uint32_t)mid;
    return a1 * b1 + (mid >> 32) + (cross >> 32);
#endif
}

// x - floor(x * r / 2**64) * m lies in [0, 2m) for r = floor((2**64 - 1) / m) and any x < 2**64: one subtraction is left.
static void el_hash_heads_plain(uint64_t mix, const el_hash_order *order, int64_t *rows) {
    for (int32_t h = 0; h < order->n_heads; h++) {
        uint64_t m = order->moduli[h];
        uint64_t rest = mix - high_product(mix, order->reciprocals[h]) * m;
        rows[h] = (int64_t)(rest >= m ? rest - m : rest) + order->offsets[h];
    }
}

#ifdef EL_HAVE_X86
#include <immintrin.h>
// Quotients in double are off by at most 2**-51 of themselves, so the first remainder lies within +-(2**13 + 2m); its own
// quotient is then off by less than one, and two conditional corrections leave [0, m). Exact for mix < 2**63.
__attribute__((target("avx512f,avx512dq"))) static void el_hash_heads_avx512(uint64_t mix, const el_hash_order *order,
                                                                             int64_t *rows) {
    const __m512i x = _mm512_set1_epi64((long long)mix);
    const __m512d xd = _mm512_cvtepi64_pd(x);
    for (int32_t h = 0; h < order->n_heads; h += 8) {
        int left = order->n_heads - h;
        __mmask8 lanes = left >= 8 ? 0xff : (__mmask8)((1u << left) - 1);
        __m512i m = _mm512_maskz_loadu_epi64(lanes, order->moduli + h);
        __m512d inverse = _mm512_maskz_loadu_pd(lanes, order->inverses + h);
        __m512i rest = _mm512_sub_epi64(x, _mm512_mullo_epi64(_mm512_cvttpd_epi64(_mm512_mul_pd(xd, inverse)), m));
        __m512d rest_d = _mm512_mul_pd(_mm512_cvtepi64_pd(rest), inverse);
        rest = _mm512_sub_epi64(rest, _mm512_mullo_epi64(_mm512_cvttpd_epi64(rest_d), m));
        rest = _mm512_min_epu64(rest, _mm512_add_epi64(rest, m)); // was in [-m, m]
        rest = _mm512_min_epu64(rest, _mm512_sub_epi64(rest, m));
        rest = _mm512_add_epi64(rest, _mm512_maskz_loadu_epi64(lanes, order->offsets + h));
        _mm512_mask_storeu_epi64(rows + h, lanes, rest);
    }
}
#endif

static heads_fn *hash_heads = el_hash_heads_plain;

void el_hash_dispatch(int features) {
    hash_heads = el_hash_heads_plain;
#ifdef EL_HAVE_X86
    if (features & EL_AVX512) hash_heads = el_hash_heads_avx512;
#endif
}

static int ends_segment(const el_hash_plan *plan, int64_t id) {
    int32_t low = 0, high = plan->n_segment_ids;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (plan->segment_ids[middle] < id) low = middle + 1;
        else high = middle;
    }
    return low < plan->n_segment_ids && plan->segment_ids[low] == id;
}

void el_hash_rows(const el_hash_plan *plan, const int64_t *ids, int64_t n_history, int64_t n, int64_t *rows) {
    // `behind` counts the positions before t that a window may still see: it falls to 0 behind a dead position or a
    // segment's end. Lag k is blocked from k = reach on.
    int64_t behind = 0;
    for (int64_t t = 0; t < n_history + n; t++) {
        int dead = ids[t] == EL_DEAD;
        if (t >= n_history) {
            int64_t reach = dead ? 0 : behind + 1;
            for (int32_t o = 0; o < plan->n_orders; o++) {
                const el_hash_order *order = plan->orders + o;
                uint64_t mix = 0;
                for (int32_t i = 0; i < order->n_terms; i++) {
                    int32_t lag = order->lags[i];
                    uint64_t id = (uint64_t)(lag < reach ? ids[t - lag] : plan->fill_id);
                    uint64_t product = id * order->multipliers[i];
                    mix = plan->mix == EL_MIX_XOR ? mix ^ product : mix + product;
                }
                hash_heads(mix, order, rows);
                rows += order->n_heads;
            }
        }
        behind = dead || ends_segment(plan, ids[t]) ? 0 : behind + 1;
    }
}

int64_t el_map_tokens(const int32_t *map, int64_t vocab_size, const int64_t *tokens, int64_t n, int64_t *out) {
    for (int64_t i = 0; i < n; i++) {
        int64_t token = tokens[i];
        if (token == EL_DEAD) {
            out[i] = EL_DEAD;
            continue;
        }
        if (token < 0 || token >= vocab_size) return i;
        out[i] = map ? map[token] : token;
    }
    return -1;
}
