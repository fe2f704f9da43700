// Checks the kernels of every instruction set that this CPU has against the cases that cases.py wrote, then the rest of
// ext/: kernels CASES FOLDER. Plain C and no Python, so that it also runs where no Python is (tests/c/run.sh).
#include <math.h>
#include <string.h>

#include "check.h"
#include "cpu.h"
#include "decode.h"
#include "gather.h"
#include "hash.h"
#include "instruction_sets.h"
#include "pages.h"
#include "step.h"

int64_t n_passed, n_failed;
static const int64_t *word; // the next one of the cases

static int64_t number(void) { return *word++; }

static const int64_t *array(int64_t *n) {
    *n = number();
    const int64_t *values = word;
    word += *n;
    return values;
}

// n_bytes of the cases, at an address that is no multiple of anything.
static uint8_t *bytes(int64_t *n) {
    *n = number();
    uint8_t *copy = (uint8_t *)memory(*n + 1) + 1;
    memcpy(copy, word, (size_t)*n);
    word += (*n + 7) / 8;
    return copy;
}

static const char *name_of(int features) {
    switch (features) {
    case 0: return "plain";
    case EL_AVX2: return "avx2";
    case EL_AVX512: return "avx512";
    case EL_NEON: return "neon";
    default: return "all";
    }
}

static const int FEATURES[] = {0, EL_AVX2, EL_AVX512, EL_NEON};
enum { N_FEATURES = sizeof FEATURES / sizeof *FEATURES, MOST_ORDERS = 16, MOST_HEADS = 1024 };

static int choose(int features) { // 0: this CPU has no such kernels
    if ((el_cpu_detected() & features) != features) return 0;
    el_cpu_enable(features);
    return 1;
}

// ---- hashing

static void hash_case(int index) {
    el_hash_order orders[MOST_ORDERS];
    static int32_t lags[MOST_ORDERS][64];
    static uint64_t reciprocals[MOST_ORDERS][MOST_HEADS];
    static double inverses[MOST_ORDERS][MOST_HEADS];
    el_hash_plan plan = {.orders = orders};
    int64_t n_segments, n_ids, n_rows, n_terms, n_heads;
    plan.mix = number() ? EL_MIX_ADD : EL_MIX_XOR;
    plan.fill_id = number();
    int64_t n_history = number();
    plan.n_orders = (int32_t)number();
    plan.segment_ids = array(&n_segments);
    plan.n_segment_ids = (int32_t)n_segments;
    const int64_t *ids = array(&n_ids), *expected = array(&n_rows);
    for (int32_t o = 0; o < plan.n_orders; o++) {
        el_hash_order *order = orders + o;
        const int64_t *wide = array(&n_terms);
        *order = (el_hash_order){0};
        for (int64_t i = 0; i < n_terms; i++) lags[o][i] = (int32_t)wide[i];
        order->n_terms = (int32_t)n_terms;
        order->lags = lags[o];
        order->multipliers = (const uint64_t *)array(&n_terms);
        order->moduli = (const uint64_t *)array(&n_heads);
        order->reciprocals = reciprocals[o];
        order->inverses = inverses[o];
        order->offsets = array(&n_heads);
        order->n_heads = (int32_t)n_heads;
    }
    el_hash_prepare(&plan);
    for (int f = 0; f < N_FEATURES; f++) {
        if (!choose(FEATURES[f])) continue;
        int64_t *rows = memory(n_rows * 8);
        el_hash_rows(&plan, ids, n_history, n_ids - n_history, rows);
        check(!memcmp(rows, expected, (size_t)n_rows * 8), "hash %d, %s", index, name_of(FEATURES[f]));
        free(rows);
    }
}

// ---- decoding and gathering

static int same(const float *got, const float *expected, int64_t n) { // any NaN for a NaN
    for (int64_t i = 0; i < n; i++)
        if (memcmp(got + i, expected + i, 4) && !(isnan(got[i]) && isnan(expected[i]))) return 0;
    return 1;
}

static int gathers(const el_table *table, const int64_t *ids, int64_t n, const float *values, int64_t bad_row) {
    int64_t dim = table->dim, first_bad = -1;
    float *out = memory(n * dim * 4);
    el_result result = el_gather_table(table, ids, n, out);
    for (int64_t i = n; i-- > 0;)
        if (ids[i] == bad_row) first_bad = i;
    int good = first_bad >= 0 ? result.status == EL_SCALE && result.position == first_bad : result.status == EL_OK;
    for (int64_t i = 0; good && first_bad < 0 && i < n; i++) good = same(out + i * dim, values + ids[i] * dim, dim);
    free(out);
    return good;
}

static void decode_case(int index) {
    int64_t encoding = number(), dim = number(), row_bytes = number(), n = number(), bad_row = number(), n_bytes, n_out;
    uint8_t *rows = bytes(&n_bytes), *stored = bytes(&n_out);
    float *values = memory(n_out);
    memcpy(values, stored, (size_t)n_out);
    int64_t n_ids = 3 * n, *ids = memory(n_ids * 8);
    for (int64_t i = 0; i < n_ids; i++) ids[i] = i < n ? i : (i * 7 + 3) % n;

    el_table whole = {.n_rows = n, .dim = dim, .row_bytes = row_bytes, .encoding = (int32_t)encoding, .scale = 1,
                      .n_columns = 1, .alignment = 1};
    el_extent one = {.n_rows = n, .map = rows};
    whole.columns[0] = (el_column){row_bytes, 1, &one};

    // The same rows torn apart: two columns, each in three pieces.
    el_table torn = whole;
    el_extent pieces[2][3];
    uint8_t *columns[2] = {NULL, NULL};
    int64_t widths[2] = {row_bytes / 2, row_bytes - row_bytes / 2}, cuts[4] = {0, n / 3, n / 3 + (n > 2), n};
    torn.n_columns = row_bytes > 1 ? 2 : 0;
    for (int32_t c = 0, at = 0; c < torn.n_columns; at = (int32_t)widths[c++]) {
        columns[c] = memory(n * widths[c]);
        for (int64_t r = 0; r < n; r++)
            memcpy(columns[c] + r * widths[c], rows + r * row_bytes + at, (size_t)widths[c]);
        torn.columns[c] = (el_column){widths[c], 0, pieces[c]};
        for (int i = 0; i < 3; i++)
            if (cuts[i + 1] > cuts[i])
                pieces[c][torn.columns[c].n_extents++] = (el_extent){
                    .first_row = cuts[i], .n_rows = cuts[i + 1] - cuts[i], .map = columns[c] + cuts[i] * widths[c]};
    }
    for (int f = 0; f < N_FEATURES; f++) {
        if (!choose(FEATURES[f])) continue;
        const char *name = name_of(FEATURES[f]);
        check(gathers(&whole, ids, n_ids, values, bad_row), "decode %d, encoding %d, dim %d, %s", index, (int)encoding,
              (int)dim, name);
        if (torn.n_columns)
            check(gathers(&torn, ids, n_ids, values, bad_row), "torn decode %d, encoding %d, dim %d, %s", index,
                  (int)encoding, (int)dim, name);
    }
    int64_t outside[] = {0, n, -1};
    check(el_first_outside(outside, 3, n) == 1, "a row id out of range");
    el_pages_hint(&whole, ids, n_ids);
    if (torn.n_columns) el_prefetch_table(&torn, ids, n_ids);
    free(rows - 1), free(stored - 1), free(values), free(ids), free(columns[0]), free(columns[1]);
}

static void check_tokens(void) {
    const int32_t map[] = {0, 1, 1, 2, 4, 3};
    const int64_t tokens[] = {5, EL_DEAD, 2, 6}, negative[] = {-2};
    int64_t out[4];
    check(el_map_tokens(map, 6, tokens, 3, out) == -1 && out[0] == 3 && out[1] == EL_DEAD && out[2] == 1, "map tokens");
    check(el_map_tokens(map, 6, tokens, 4, out) == 3, "a token outside the vocabulary");
    check(el_map_tokens(NULL, 6, negative, 1, out) == 0, "a negative token");
    check(el_map_tokens(NULL, 6, tokens, 3, out) == -1 && out[0] == 5, "tokens without a map");
}

static void report(const char *what) {
    static int64_t before;
    printf("%-28s %lld checks\n", what, (long long)(n_passed + n_failed - before));
    fflush(stdout);
    before = n_passed + n_failed;
}

// The next tokens of three sequences in one step, against mapping, hashing and gathering one after another.
static void check_step(void) {
    enum { N_ROWS = 30, DIM = 2, HEADS = 3, LAG = 2, N = 3 };
    static const int32_t map[] = {0, 1, 1, 2, 4, 3}, lags[] = {0, 1, 2};
    static const uint64_t multipliers[] = {7, 11, 13}, moduli[HEADS] = {7, 11, 12};
    static const int64_t offsets[HEADS] = {0, 7, 18}, tokens[N] = {5, 0, 3};
    uint64_t reciprocals[HEADS];
    double inverses[HEADS];
    float rows[N_ROWS * DIM], out[N * HEADS * DIM], expected[HEADS * DIM];
    int64_t ids[N][8], row_ids[N * HEADS], length[N] = {0, 1, 7};
    for (int i = 0; i < N_ROWS * DIM; i++) rows[i] = (float)i;
    for (int i = 0; i < N * 8; i++) ids[i / 8][i % 8] = i % 5;
    el_hash_order order = {3, HEADS, lags, multipliers, moduli, offsets, 0, 0, reciprocals, inverses};
    el_hash_plan plan = {.n_orders = 1, .orders = &order};
    el_hash_prepare(&plan);
    el_extent extent = {.n_rows = N_ROWS, .map = (const uint8_t *)rows};
    el_table table = {.n_rows = N_ROWS, .dim = DIM, .row_bytes = DIM * 4, .encoding = EL_FLOAT32, .scale = 1,
                      .n_columns = 1, .columns = {{DIM * 4, 1, &extent}}, .alignment = 1};
    el_step_layer layer = {&plan, &table, out};
    el_step step = {map, 6, LAG, 1, &layer, HEADS, row_ids};
    el_step_token next[N];
    for (int i = 0; i < N; i++) next[i] = (el_step_token){tokens[i], &ids[i][length[i]], length[i]};
    el_step_result result = el_step_read(&step, next, N);
    check(result.rows.status == EL_OK && result.bad_token == -1, "a step");
    for (int i = 0; i < N; i++) {
        int64_t back = length[i] < LAG ? length[i] : LAG, wanted[HEADS];
        check(ids[i][length[i]] == map[tokens[i]], "the id of token %d", i);
        el_hash_rows(&plan, &ids[i][length[i] - back], back, 1, wanted);
        el_gather_table(&table, wanted, HEADS, expected);
        check(!memcmp(expected, out + i * HEADS * DIM, sizeof expected), "the rows of token %d", i);
    }
    next[1].token = 6;
    check(el_step_read(&step, next, N).bad_token == 1, "a step with a token outside the vocabulary");
    next[1].token = 0;
    table.n_rows = 1;
    check(el_step_read(&step, next, N).rows.status == EL_RANGE, "a step whose rows are not the table's");
}

int main(int argc, char **argv) {
    if (argc != 3) return fputs("usage: kernels CASES FOLDER\n", stderr), 2;
    FILE *file = fopen(argv[1], "rb");
    if (!file || fseek(file, 0, SEEK_END)) return perror(argv[1]), 2;
    long size = ftell(file);
    int64_t *words = memory(size);
    rewind(file);
    if (fread(words, 1, (size_t)size, file) != (size_t)size) return perror(argv[1]), 2;
    fclose(file);

    el_guard_install();
    printf("kernels of this CPU: plain");
    for (int f = 1; f < N_FEATURES; f++)
        if (el_cpu_detected() & FEATURES[f]) printf(" %s", name_of(FEATURES[f]));
    printf("\n");
    int n_hash = 0, n_decode = 0;
    for (word = words;;) {
        word++; // the length of the head
        int64_t kind = number();
        if (kind == 1) {
            hash_case(n_hash++);
            continue;
        }
        if (!n_decode) report("hashing");
        if (!kind) break;
        decode_case(n_decode++);
    }
    report("decoding and gathering");
    el_cpu_enable(el_cpu_detected());
    check_tokens();
    check_step();
    check_llama_callback();
    check_gate();
    report("token map, steps, llama.cpp filter, gate");
    check_cache();
    report("cache");
    check_reader(argv[2]);
    report("reader of cold rows");
    free(words);
    printf("%lld passed, %lld failed\n", (long long)n_passed, (long long)n_failed);
    return n_failed != 0;
}
