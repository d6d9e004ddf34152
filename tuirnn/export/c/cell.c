/* The step. Letters: H hidden units, G gates, K inputs and N outputs of a product; gates in PyTorch's order.
 *
 * Weights lie in panels of 64 columns, then of 16: in a panel the rows follow each other, so that a product reads
 * memory once, straight on, and its sums stay in registers. Compilers vectorize the loops as they are. */

#include "cell.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cell_weights.h"

#define H CELL_HIDDEN
#define WIDE 64
#define NARROW 16
#define PADDED(n) (((n) + NARROW - 1) / NARROW * NARROW)

/* y[N] += x[K] W, N a multiple of 16. */
static void product(const float *W, const float *x, int K, int N, float *y) {
    int n = 0;
    for (; n + WIDE <= N; n += WIDE) {
        float sum[WIDE];
        memcpy(sum, y + n, sizeof sum);
        for (int k = 0; k < K; k++, W += WIDE)
            for (int j = 0; j < WIDE; j++) sum[j] += x[k] * W[j];
        memcpy(y + n, sum, sizeof sum);
    }
    for (; n < N; n += NARROW) {
        float sum[NARROW];
        memcpy(sum, y + n, sizeof sum);
        for (int k = 0; k < K; k++, W += NARROW)
            for (int j = 0; j < NARROW; j++) sum[j] += x[k] * W[j];
        memcpy(y + n, sum, sizeof sum);
    }
}

/* e^x for -87 <= x <= 87, relative error about 1e-7: 2^n times a polynomial on +-ln 2 / 2 (Cephes' coefficients). */
static inline float exponential(float x) {
    float n = x * 1.44269504f;
    n = (n + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23 rounds to the nearest integer */
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float clamp(float x, float limit) { return x > limit ? limit : x < -limit ? -limit : x; }

#if CELL_KIND == CELL_LSTM || CELL_KIND == CELL_GRU_AFTER || CELL_KIND == CELL_GRU_BEFORE
static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(clamp(-x, 87.0f))); }
#endif

#if CELL_KIND != CELL_RNN_RELU
static inline float hyperbolic(float x) {
    float t = exponential(clamp(-2.0f * x, 87.0f));
    return (1.0f - t) / (1.0f + t);
}
#endif

/* One layer: a[G H] holds the input half with its biases; the state is replaced. */
static void layer(const cell_layer *w, float *a, cell_state *state, int i) {
    float *h = state->h[i];
#if CELL_KIND == CELL_RNN_TANH || CELL_KIND == CELL_RNN_RELU
    product(w->recurrent, h, H, PADDED(H), a);
    for (int j = 0; j < H; j++)
#if CELL_KIND == CELL_RNN_TANH
        h[j] = hyperbolic(a[j]);
#else
        h[j] = a[j] > 0 ? a[j] : 0;
#endif
#elif CELL_KIND == CELL_LSTM
    float *c = state->c[i];
    product(w->recurrent, h, H, PADDED(4 * H), a);
    for (int j = 0; j < H; j++) {
        c[j] = sigmoid(a[H + j]) * c[j] + sigmoid(a[j]) * hyperbolic(a[2 * H + j]);
        h[j] = sigmoid(a[3 * H + j]) * hyperbolic(c[j]);
    }
#elif CELL_KIND == CELL_GRU_AFTER
    float b[PADDED(3 * H)];
    memset(b, 0, sizeof b);
    memcpy(b + 2 * H, w->recurrent_bias, H * sizeof *b);
    product(w->recurrent, h, H, PADDED(3 * H), b);
    for (int j = 0; j < H; j++) {
        float r = sigmoid(a[j] + b[j]), z = sigmoid(a[H + j] + b[H + j]);
        float n = hyperbolic(a[2 * H + j] + r * b[2 * H + j]);
        h[j] = n + z * (h[j] - n);
    }
#elif CELL_KIND == CELL_GRU_BEFORE
    float rh[H], b[PADDED(2 * H)], n[PADDED(H)];
    memset(b, 0, sizeof b);
    memset(n, 0, sizeof n);
    memcpy(n, a + 2 * H, H * sizeof *n);
    product(w->recurrent, h, H, PADDED(2 * H), b);
    for (int j = 0; j < H; j++) rh[j] = sigmoid(a[j] + b[j]) * h[j];
    product(w->candidate, rh, H, PADDED(H), n);
    for (int j = 0; j < H; j++) {
        float z = sigmoid(a[H + j] + b[H + j]), candidate = hyperbolic(n[j]);
        h[j] = candidate + z * (h[j] - candidate);
    }
#endif
    (void)w;
}

void cell_reset(cell_state *state) { memset(state, 0, sizeof *state); }

void cell_step(cell_state *state, int token, float *logits) {
    float a[PADDED(CELL_GATES * H)], x[H], scores[PADDED(CELL_VOCAB)];
    memset(a, 0, sizeof a);
    for (int i = 0; i < CELL_LAYERS; i++) {
        const cell_layer *w = &cell_layers[i];
        memcpy(a, i ? w->input_bias : cell_table[token], CELL_GATES * H * sizeof *a);
        if (i) product(w->input, x, H, PADDED(CELL_GATES * H), a);
        layer(w, a, state, i);
        for (int j = 0; j < H; j++) x[j] = CELL_RESIDUAL && i ? x[j] + state->h[i][j] : state->h[i][j];
    }
    memset(scores, 0, sizeof scores);
    memcpy(scores, cell_head_bias, CELL_VOCAB * sizeof *scores);
#if CELL_PROJECTION
    float projected[PADDED(CELL_PROJECTION)];
    memset(projected, 0, sizeof projected);
    memcpy(projected, cell_projection_bias, CELL_PROJECTION * sizeof *projected);
    product(cell_projection, x, H, PADDED(CELL_PROJECTION), projected);
    product(cell_head, projected, CELL_PROJECTION, PADDED(CELL_VOCAB), scores);
#else
    product(cell_head, x, H, PADDED(CELL_VOCAB), scores);
#endif
    memcpy(logits, scores, CELL_VOCAB * sizeof *logits);
}

int cell_sample(const float *logits, double temperature, int top_k, double uniform) {
    int best = CELL_UNKNOWN == 0 && CELL_VOCAB > 1;
    for (int i = 0; i < CELL_VOCAB; i++)
        if (logits[i] > logits[best] && i != CELL_UNKNOWN) best = i;
    if (temperature <= 0) return best;
    double p[CELL_VOCAB];
    double total = 0, running = 0;
    int chosen = best;
    for (int i = 0; i < CELL_VOCAB; i++) {
        p[i] = i == CELL_UNKNOWN ? 0 : exp((logits[i] - (double)logits[best]) / temperature);
        total += p[i];
    }
    if (top_k > 0 && top_k < CELL_VOCAB) { /* the k-th largest, by repeated search below the last one found */
        double least = INFINITY;
        for (int found = 0; found < top_k;) {
            double next = 0;
            int times = 0;
            for (int i = 0; i < CELL_VOCAB; i++) {
                if (p[i] >= least) continue;
                if (p[i] > next) next = p[i], times = 1;
                else if (p[i] == next) times++;
            }
            least = next;
            found += times ? times : CELL_VOCAB;
        }
        total = 0;
        for (int i = 0; i < CELL_VOCAB; i++) {
            if (p[i] < least) p[i] = 0;
            total += p[i];
        }
    }
    for (int i = 0; i < CELL_VOCAB; i++) {
        if (p[i] > 0) chosen = i;
        running += p[i];
        if (running > uniform * total) break;
    }
    return chosen;
}

const char *cell_symbol(int token, int *length) {
#if CELL_BYTES
    static char one[2];
    one[0] = (char)token;
    *length = 1;
    return one;
#else
    *length = cell_symbol_lengths[token];
    return cell_symbols[token];
#endif
}

#if !CELL_BYTES
/* Bytes of the UTF-8 character at s. */
static int character(const char *s) {
    int n = 1;
    if (*s == 0) return 1;
    while (((unsigned char)s[n] & 0xC0) == 0x80) n++;
    return n;
}
#endif

#if CELL_WORDS
/* Letters, digits, underscore; all beyond ASCII counts as letters. */
static int in_word(char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c & 0x80);
}
#endif

int cell_token(const char *text, int *length) {
#if CELL_BYTES
    *length = 1;
    return (unsigned char)*text;
#else
    *length = character(text);
#if CELL_WORDS
    if (in_word(*text)) for (*length = 1; in_word(text[*length]);) ++*length;
#endif
    for (int i = 0; i < CELL_VOCAB; i++)
        if (i != CELL_UNKNOWN && cell_symbol_lengths[i] == *length && !memcmp(cell_symbols[i], text, (size_t)*length))
            return i;
    return CELL_UNKNOWN;
#endif
}

int cell_verify(void) {
    cell_state state;
    float logits[CELL_VOCAB];
    cell_reset(&state);
    for (int i = 0; i < CELL_TEST_TOKENS; i++) cell_step(&state, cell_test_tokens[i], logits);
    for (int i = 0; i < CELL_TEST_LOGITS; i++)
        if (!(fabsf(logits[i] - cell_test_logits[i]) <= CELL_TEST_TOLERANCE)) return 0;
    return 1;
}
