// An Engram layer behind its projections, against the formulas in double precision.
#include "gate.h"

#include <math.h>
#include <string.h>

#include "check.h"

enum { D = 37, KERNEL = 3, DILATION = 2, N_STATE = (KERNEL - 1) * DILATION, N = 5 };

static float *normal(uint64_t *seed, int n) { // not normal, but as good: between -1 and 1
    float *x = memory(n * (int64_t)sizeof *x);
    for (int i = 0; i < n; i++) x[i] = (float)(next_random(seed) >> 40) / (1 << 23) - 1;
    return x;
}

static double rms(const float *x, double epsilon) {
    double sum = 0;
    for (int i = 0; i < D; i++) sum += (double)x[i] * x[i];
    return sqrt(sum / D + epsilon);
}

static double similarity(const float *key, const float *norm_key, const float *query, const float *norm_query) {
    const double of_key = rms(key, 1e-6), of_query = rms(query, 1e-6);
    double sum = 0;
    for (int i = 0; i < D; i++) {
        const double k = key[i] * norm_key[i] / of_key, q = query[i] * norm_query[i] / of_query;
        sum += k * q;
    }
    return sum / sqrt(D);
}

static double worst; // difference so far

static void compare(double expected, float found) {
    const double difference = fabs(expected - found);
    if (!(difference <= worst)) worst = difference; // also where it is no number
}

static void gate_case(int streams, int residual_streams, int with_conv, int with_biases, int plain) {
    uint64_t seed = (uint64_t)(streams * 8 + residual_streams * 4 + with_conv * 2 + with_biases);
    const int c = streams * D, width = residual_streams * D, n_conv = (N_STATE + N) * c;
    float *norms[3], *conv = normal(&seed, KERNEL * c), *biases[3];
    for (int i = 0; i < 3; i++) norms[i] = normal(&seed, c), biases[i] = normal(&seed, c);
    float *hidden = normal(&seed, N * width), *projected = normal(&seed, N * (c + D)), *past = normal(&seed, n_conv);
    float *before = memory(N * width * 4), *given = memory(N * (c + D) * 4);
    memcpy(before, hidden, (size_t)(N * width * 4)), memcpy(given, projected, (size_t)(N * (c + D) * 4));
    el_gate g = {streams, residual_streams, D, with_conv ? KERNEL : 0, DILATION, 1e-6f, 1e-3f, norms[0], norms[1],
                 with_conv ? norms[2] : 0, with_conv ? conv : 0, with_biases ? biases[0] : 0,
                 with_biases ? biases[1] : 0, with_biases ? biases[2] : 0};
    (plain ? el_gate_add_plain : el_gate_add)(&g, N, hidden, projected, with_conv ? past : 0);
    worst = 0;
    for (int t = 0; t < N; t++)
        for (int r = 0; r < residual_streams; r++) {
            double out[D];
            for (int i = 0; i < D; i++) out[i] = before[t * width + r * D + i];
            for (int m = 0; m < streams; m++) {
                if (residual_streams > 1 && m != r) continue;
                float key[D], value[D], y[D];
                const float *query = before + t * width + r * D;
                for (int i = 0; i < D; i++) {
                    key[i] = given[t * (c + D) + m * D + i] + (with_biases ? biases[0][m * D + i] : 0);
                    value[i] = given[t * (c + D) + c + i] + (with_biases ? biases[1][i] : 0);
                }
                const double s = similarity(key, norms[0] + m * D, query, norms[1] + m * D);
                const double root = sqrt(fmax(fabs(s), 1e-6)), gate = 1 / (1 + exp(s > 0 ? -root : s < 0 ? root : 0));
                for (int i = 0; i < D; i++) y[i] = (float)(gate * value[i]);
                for (int i = 0; i < D; i++) {
                    out[i] += y[i];
                    if (!with_conv) continue;
                    double now = y[i] / rms(y, 1e-3) * norms[2][m * D + i], sum = with_biases ? biases[2][m * D + i] : 0;
                    compare(now, past[(t + N_STATE) * c + m * D + i]);
                    for (int k = 0; k < KERNEL; k++)
                        sum += (double)past[(t + k * DILATION) * c + m * D + i] * conv[k * c + m * D + i];
                    out[i] += sum / (1 + exp(-sum));
                }
            }
            for (int i = 0; i < D; i++) compare(out[i], hidden[t * width + r * D + i]);
        }
    check(worst < 2e-5, "gate: %d streams, %d of the residual, conv %d, biases %d, plain %d: off by %g", streams,
          residual_streams, with_conv, with_biases, plain, worst);
    for (int i = 0; i < 3; i++) free(norms[i]), free(biases[i]);
    free(conv), free(hidden), free(projected), free(past), free(before), free(given);
}

void check_gate(void) {
    const int streams[][2] = {{1, 1}, {3, 1}, {4, 4}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 8; j++) gate_case(streams[i][0], streams[i][1], j & 1, j >> 1 & 1, j >> 2);
}
