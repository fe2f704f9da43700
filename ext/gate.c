#include "gate.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "instruction_sets.h"

enum {
    LANES = 16, /* sums kept side by side, so that the compiler may use vectors */
    BLOCK = 256 /* channels of a convolution computed at once */
};

/* Compiled once for every CPU and once more for AVX2: besides being faster, its code does not wait for the upper halves
 * of registers, which ggml's leaves in use; without, a token takes four times as long behind a product. */
#if defined(__GNUC__) || defined(__clang__)
#define INLINED static inline __attribute__((always_inline))
#else
#define INLINED static inline
#endif

INLINED float lanes_sum(const float *lanes) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += lanes[i];
    return sum;
}

/* 1 / the root of the mean square of x [d]. */
INLINED float inverse_rms(const float *x, int d, float epsilon) {
    float lanes[LANES] = {0};
    int i = 0;
    for (; i + LANES <= d; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += x[i + j] * x[i + j];
    float sum = lanes_sum(lanes);
    for (; i < d; i++) sum += x[i] * x[i];
    return 1 / sqrtf(sum / (float)d + epsilon);
}

/* Sum of key * norm_key * query * norm_query, [d] each. */
INLINED float weighted_dot(const float *key, const float *norm_key, const float *query, const float *norm_query, int d) {
    float lanes[LANES] = {0};
    int i = 0;
    for (; i + LANES <= d; i += LANES)
        for (int j = 0; j < LANES; j++)
            lanes[j] += key[i + j] * norm_key[i + j] * (query[i + j] * norm_query[i + j]);
    float sum = lanes_sum(lanes);
    for (; i < d; i++) sum += key[i] * norm_key[i] * (query[i] * norm_query[i]);
    return sum;
}

INLINED float opened(const el_gate *g, const float *key, const float *query, int stream) {
    const size_t at = (size_t)stream * g->width;
    const float norm = inverse_rms(key, g->width, g->gate_epsilon) * inverse_rms(query, g->width, g->gate_epsilon);
    const float s = norm * weighted_dot(key, g->norm_key + at, query, g->norm_query + at, g->width) / sqrtf(g->width);
    const float root = sqrtf(fmaxf(fabsf(s), 1e-6f));
    return 1 / (1 + expf(s > 0 ? -root : s < 0 ? root : 0));
}

/* out [d] += y + silu(the convolution over y's norm), for one stream; taken [C]: the newest row of past. */
INLINED void add_convolved(const el_gate *g, const float *y, int stream, float *out, const float *past, float *taken) {
    const int d = g->width, at = stream * d;
    const size_t channels = (size_t)g->streams * d;
    const float inverse = inverse_rms(y, d, g->conv_epsilon);
    for (int i = 0; i < d; i++) taken[at + i] = y[i] * inverse * g->norm_conv[at + i];
    for (int begin = 0; begin < d; begin += BLOCK) {
        const int n = d - begin < BLOCK ? d - begin : BLOCK;
        float sum[BLOCK] = {0};
        if (g->conv_bias) memcpy(sum, g->conv_bias + at + begin, n * sizeof *sum);
        for (int k = 0; k < g->kernel; k++) {
            const float *x = past + k * g->dilation * channels + at + begin, *w = g->conv + k * channels + at + begin;
            for (int i = 0; i < n; i++) sum[i] += x[i] * w[i];
        }
        for (int i = 0; i < n; i++) out[begin + i] += y[begin + i] + sum[i] / (1 + expf(-sum[i]));
    }
}

INLINED void add(const el_gate *g, int n, float *hidden, float *projected, float *conv) {
    const int d = g->width, channels = g->streams * d;
    const size_t n_state = g->kernel ? (size_t)(g->kernel - 1) * g->dilation : 0;
    for (int t = 0; t < n; t++) {
        float *residual = hidden + (size_t)t * g->residual_streams * d;
        float *keys = projected + (size_t)t * (channels + d), *value = keys + channels;
        if (g->key_bias)
            for (int i = 0; i < channels; i++) keys[i] += g->key_bias[i];
        if (g->value_bias)
            for (int i = 0; i < d; i++) value[i] += g->value_bias[i];
        for (int m = 0; m < g->streams; m++) { /* all gates first: a plain residual is every stream's query */
            float *key = keys + (size_t)m * d;
            const float gate = opened(g, key, residual + (g->residual_streams > 1 ? (size_t)m * d : 0), m);
            for (int i = 0; i < d; i++) key[i] = gate * value[i]; /* the key was read */
        }
        for (int m = 0; m < g->streams; m++) {
            const float *y = keys + (size_t)m * d;
            float *out = residual + (g->residual_streams > 1 ? (size_t)m * d : 0);
            if (g->kernel)
                add_convolved(g, y, m, out, conv + t * (size_t)channels, conv + (t + n_state) * (size_t)channels);
            else
                for (int i = 0; i < d; i++) out[i] += y[i];
        }
    }
}

void el_gate_add_plain(const el_gate *g, int n, float *hidden, float *projected, float *conv) {
    add(g, n, hidden, projected, conv);
}

#ifdef EL_HAVE_X86
__attribute__((target("avx2,fma"))) static void add_avx2(const el_gate *g, int n, float *hidden, float *projected,
                                                         float *conv) {
    add(g, n, hidden, projected, conv);
}
#endif

void el_gate_add(const el_gate *g, int n, float *hidden, float *projected, float *conv) {
#ifdef EL_HAVE_X86
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        add_avx2(g, n, hidden, projected, conv);
        return;
    }
#endif
    el_gate_add_plain(g, n, hidden, projected, conv);
}
