#include "hash.h"

#include "instruction_sets.h"

// Row ids of one position: ids[0] is its id, ids[-k] the one k before; lags from `reach` on read the fill id.
typedef void position_fn(const el_hash_plan *plan, const int64_t *ids, int64_t reach, int64_t *rows);

static inline uint64_t high_product(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
#else
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0, mid = a1 * b0 + (low >> 32), cross = a0 * b1 + (uint32_t)mid;
    return a1 * b1 + (mid >> 32) + (cross >> 32);
#endif
}

// `mix` is the previous order's.
static inline uint64_t mix_of(const el_hash_plan *plan, const el_hash_order *order, const int64_t *ids, int64_t reach,
                              uint64_t mix) {
    if (!order->n_shared) mix = 0;
    for (int32_t i = order->n_shared; i < order->n_terms; i++) {
        int32_t lag = order->lags[i];
        uint64_t product = (uint64_t)(lag < reach ? ids[-lag] : plan->fill_id) * order->multipliers[i];
        mix = plan->mix == EL_MIX_XOR ? mix ^ product : mix + product;
    }
    return mix;
}

// A product that overflowed may leave the mix negative. Its remainder is the floored one, as NumPy's:
// -1 - x mod m = m - 1 - (x mod m).
static inline void mirror(const el_hash_order *order, int64_t *rows) {
    for (int32_t h = 0; h < order->n_heads; h++)
        rows[h] = (int64_t)order->moduli[h] - 1 + 2 * order->offsets[h] - rows[h];
}

// x - floor(x * r / 2**64) * m lies in [0, 2m) for r = floor((2**64 - 1) / m) and any x < 2**64: one subtraction is left.
static void el_hash_position_plain(const el_hash_plan *plan, const int64_t *ids, int64_t reach, int64_t *rows) {
    uint64_t mix = 0;
    for (int32_t o = 0; o < plan->n_orders; o++) {
        const el_hash_order *order = plan->orders + o;
        mix = mix_of(plan, order, ids, reach, mix);
        int negative = (int64_t)mix < 0;
        uint64_t x = negative ? ~mix : mix;
        for (int32_t h = 0; h < order->n_heads; h++) {
            uint64_t m = order->moduli[h];
            uint64_t rest = x - high_product(x, order->reciprocals[h]) * m;
            rows[h] = (int64_t)(rest >= m ? rest - m : rest) + order->offsets[h];
        }
        if (negative) mirror(order, rows);
        rows += order->n_heads;
    }
}

#ifdef EL_HAVE_X86
#include <immintrin.h>
// Quotients in double are off by less than 2**-51 of themselves, so the first remainder lies within [-2**12, m + 2**12] for
// any mix < 2**63. Two conditional corrections make that [0, m) where m > 2**12; a smaller modulus needs a second quotient,
// which is off by less than one.
#define TARGET __attribute__((target("avx512f,avx512dq")))
enum { WIDE_MODULUS = 4096 };

TARGET static inline __m512i times_quotient(__m512i x, __m512d inverse, __m512i m) {
    __m512i quotient = _mm512_cvttpd_epi64(_mm512_mul_pd(_mm512_cvtepi64_pd(x), inverse));
    return _mm512_mullo_epi64(quotient, m);
}

TARGET static void el_hash_position_avx512(const el_hash_plan *plan, const int64_t *ids, int64_t reach, int64_t *rows) {
    uint64_t mix = 0;
    for (int32_t o = 0; o < plan->n_orders; o++) {
        const el_hash_order *order = plan->orders + o;
        mix = mix_of(plan, order, ids, reach, mix);
        int negative = (int64_t)mix < 0;
        const __m512i x = _mm512_set1_epi64((long long)(negative ? ~mix : mix));
        for (int32_t h = 0; h < order->n_heads; h += 8) {
            int left = order->n_heads - h;
            __mmask8 lanes = left >= 8 ? 0xff : (__mmask8)((1u << left) - 1);
            __m512i m = _mm512_maskz_loadu_epi64(lanes, order->moduli + h);
            __m512d inverse = _mm512_maskz_loadu_pd(lanes, order->inverses + h);
            __m512i rest = _mm512_sub_epi64(x, times_quotient(x, inverse, m));
            if (order->smallest <= WIDE_MODULUS) rest = _mm512_sub_epi64(rest, times_quotient(rest, inverse, m));
            rest = _mm512_min_epu64(rest, _mm512_add_epi64(rest, m)); // a negative one is huge without its sign
            rest = _mm512_min_epu64(rest, _mm512_sub_epi64(rest, m));
            rest = _mm512_add_epi64(rest, _mm512_maskz_loadu_epi64(lanes, order->offsets + h));
            _mm512_mask_storeu_epi64(rows + h, lanes, rest);
        }
        if (negative) mirror(order, rows);
        rows += order->n_heads;
    }
}
#endif

static position_fn *hash_position = el_hash_position_plain;

void el_hash_dispatch(int features) {
    hash_position = el_hash_position_plain;
#ifdef EL_HAVE_X86
    if (features & EL_AVX512) hash_position = el_hash_position_avx512;
#endif
    (void)features;
}

static int begins_with(const el_hash_order *order, const el_hash_order *previous) {
    if (order->n_terms < previous->n_terms) return 0;
    for (int32_t i = 0; i < previous->n_terms; i++)
        if (order->lags[i] != previous->lags[i] || order->multipliers[i] != previous->multipliers[i]) return 0;
    return 1;
}

void el_hash_prepare(el_hash_plan *plan) {
    plan->n_heads = 0;
    for (int32_t o = 0; o < plan->n_orders; o++) {
        el_hash_order *order = plan->orders + o;
        order->n_shared = o && begins_with(order, order - 1) ? order[-1].n_terms : 0;
        order->smallest = UINT64_MAX;
        for (int32_t h = 0; h < order->n_heads; h++) {
            uint64_t modulus = order->moduli[h];
            if (modulus < order->smallest) order->smallest = modulus;
            order->reciprocals[h] = UINT64_MAX / modulus;
            order->inverses[h] = 1.0 / (double)modulus;
        }
        plan->n_heads += order->n_heads;
    }
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
            hash_position(plan, ids + t, dead ? 0 : behind + 1, rows);
            rows += plan->n_heads;
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
