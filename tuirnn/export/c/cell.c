/* One step of the network. Letters: K inputs and N outputs of a product.
 *
 * Weights are stored in panels of 64 columns, then of 16, the last padded with zeros. The rows of a panel are
 * contiguous, so that a product reads memory once, in sequence, and its sums stay in registers. Integer weights are
 * stored in panels of 16 columns, four rows of a column side by side. Compilers vectorize the loops; the arrays that
 * they write are aligned. All data but the caller's are constant. */

#include "cell.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cell_weights.h"

#if CELL_USES_CODES && defined(__AVX512VNNI__)
#include <immintrin.h>
#elif CELL_USES_CODES && defined(__SSE2__)
#include <emmintrin.h>
#endif

#define WIDE 64
#define NARROW 16
#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))

#if CELL_USES_CODES
#include "cell_codes.h"
#endif

#if CELL_USES_PRODUCT
/* y[N] = x[K] W, N a multiple of 16. */
static void product(const float *W, const float *x, int K, int N, float *y) {
    int n = 0;
    for (; n + WIDE <= N; n += WIDE) {
        float sum[WIDE] CELL_ALIGNED = {0};
        for (int k = 0; k < K; k++, W += WIDE)
            for (int j = 0; j < WIDE; j++) sum[j] += x[k] * W[j];
        memcpy(y + n, sum, sizeof sum);
    }
    for (; n < N; n += NARROW) {
        float sum[NARROW] CELL_ALIGNED = {0};
        for (int k = 0; k < K; k++, W += NARROW)
            for (int j = 0; j < NARROW; j++) sum[j] += x[k] * W[j];
        memcpy(y + n, sum, sizeof sum);
    }
}
#endif

#if CELL_USES_SIGMOID || CELL_USES_TANH
/* e^x for -87 <= x <= 87, relative error about 1e-7: 2^n times a polynomial on +-ln 2 / 2 (Cephes' coefficients). */
static inline float exponential(float x) {
    float shifted = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23 rounds to the nearest integer, n in the low bits */
    float n = shifted - 12582912.0f, power;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23; /* the exponent of 2^n; the bits above n are shifted out */
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float clamp(float x, float limit) {
    float low = x < -limit ? -limit : x;
    return low > limit ? limit : low;
}

#endif

#if CELL_USES_TANH
/* Near zero a polynomial (Cephes, tanhf), which keeps the relative accuracy that 1 - t would lose. */
static inline float hyperbolic(float x) {
    float t = exponential(clamp(-2.0f * x, 87.0f)), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    return z < 0.390625f ? p * z * x + x : (1.0f - t) / (1.0f + t);
}
#endif

#if CELL_USES_SIGMOID
static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(clamp(-x, 87.0f))); }
#endif

#if CELL_USES_MAX
static inline float larger(float x, float y) { return x > y || x != x ? x : y; } /* NaN stays NaN */
#endif

#if CELL_USES_MIN
static inline float smaller(float x, float y) { return x < y || x != x ? x : y; }
#endif

#include "cell_network.h"

#if CELL_PRIMED
void cell_reset(cell_state *state) { memcpy(state, cell_initial, sizeof *state); }
#else
void cell_reset(cell_state *state) { memset(state, 0, sizeof *state); }
#endif

#if CELL_POINTS
int cell_step(cell_state *state, const float *x, float *y) {
    network(x, state, y);
    return 1;
}

#if CELL_PERIODS
void cell_calendar(double next, float *x) {
    for (int i = 0; i < CELL_PERIODS; i++) {
        double angle = 6.283185307179586 * fmod(next, cell_periods[i]) / cell_periods[i];
        x[CELL_COLUMNS + 2 * i] = (float)sin(angle);
        x[CELL_COLUMNS + 2 * i + 1] = (float)cos(angle);
    }
}
#endif

const char *cell_column(int column) { return column < 0 || column >= CELL_COLUMNS ? "" : cell_columns[column]; }
#else
int cell_step(cell_state *state, int token, float *logits) {
    if (token < 0 || token >= CELL_VOCAB) return 0;
    network(token, state, logits);
    return 1;
}

#if CELL_CLASSES
const char *cell_class(int number) { return number < 0 || number >= CELL_CLASSES ? "" : cell_classes[number]; }
#else
int cell_sample(const float *logits, double temperature, int top_k, double uniform) {
    int best = CELL_UNKNOWN == 0 && CELL_VOCAB > 1;
    for (int i = 0; i < CELL_VOCAB; i++)
        if (logits[i] > logits[best] && i != CELL_UNKNOWN) best = i;
    if (!(temperature > 0)) return best;
    double p[CELL_VOCAB];
    double total = 0, running = 0;
    int chosen = best;
    for (int i = 0; i < CELL_VOCAB; i++) {
        p[i] = i == CELL_UNKNOWN ? 0 : exp(((double)logits[i] - (double)logits[best]) / temperature);
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
#endif

const char *cell_symbol(int token, int *length) {
    if (token < 0 || token >= CELL_VOCAB) return *length = 0, "";
    *length = cell_symbol_lengths[token];
    return cell_symbols[token];
}

#if !CELL_BYTES
/* The code point of the UTF-8 character at text, and its length in bytes; -1 and 1 if it is invalid, 0 and 0 at the
 * end. */
static int32_t character(const char *text, int *length) {
    const unsigned char *s = (const unsigned char *)text;
    int more = s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 1 : s[0] < 0xF0 ? 2 : s[0] < 0xF5 ? 3 : 0;
    int32_t point = more ? s[0] & (0x3F >> more) : s[0] < 0x80 ? s[0] : -1;
    *length = s[0] != 0;
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xC0) != 0x80) return -1;
        point = point * 64 + (s[i] & 0x3F);
    }
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return -1;
    *length += more;
    return point;
}
#endif

#if CELL_WORDS
/* Whether words contain this character: ranges[low] is the first range that does not end before it. */
static int in_word(int32_t point) {
    int low = 0, high = COUNT(cell_word_ranges);
    while (low < high) {
        int middle = (low + high) / 2;
        if (point > cell_word_ranges[middle][1]) low = middle + 1;
        else high = middle;
    }
    return low < COUNT(cell_word_ranges) && point >= cell_word_ranges[low][0];
}
#endif

#if CELL_MERGES
#include "cell_subwords.h"
#endif

int cell_token(const char *text, int *length) {
#if CELL_MERGES
    return subword(text, length);
#elif CELL_BYTES
    *length = *text != 0;
    return *text ? (unsigned char)*text : CELL_UNKNOWN;
#else
    int32_t point = character(text, length);
    if (point <= 0) return CELL_UNKNOWN;
#if CELL_WORDS
    if (in_word(point))
        for (int more; in_word(character(text + *length, &more));) *length += more;
#endif
    for (int i = 0; i < CELL_VOCAB; i++)
        if (i != CELL_UNKNOWN && cell_symbol_lengths[i] == *length && !memcmp(cell_symbols[i], text, (size_t)*length))
            return i;
    return CELL_UNKNOWN;
#endif
}

#endif

int cell_verify(void) {
    cell_state state;
    float outputs[CELL_OUTPUTS];
    memset(&state, 0, sizeof state);
    for (int i = 0; i < CELL_TEST_STEPS; i++)
        if (!cell_step(&state, cell_test_inputs[i], outputs)) return 0;
    for (int i = 0; i < CELL_TEST_OUTPUTS; i++)
        if (!(fabsf(outputs[i] - cell_test_outputs[i]) <= cell_test_tolerances[i])) return 0;
    return 1;
}
