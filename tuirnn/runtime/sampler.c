/* Choosing the next token, as samplers.py does it, without Python between two characters. Plain C99. */

#include <stdint.h>
#include <string.h>

typedef struct {
    const float *logits; /* [vocab], of the step just done */
    int64_t *token;      /* where the choice is written */
    double *weights;     /* scratch, [2 * vocab] */
    int64_t vocab;
    int64_t banned;      /* never chosen; -1: none */
    int64_t top_k;       /* 0: all */
    double temperature;  /* 0: greedy */
} Sampler;

/* The k-th largest of x [n], which is reordered. */
static double kth_largest(double *x, int64_t n, int64_t k) {
    int64_t low = 0, high = n - 1;
    while (low < high) {
        double pivot = x[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (x[i] > pivot) i++;
            while (x[j] < pivot) j--;
            if (i <= j) {
                double swapped = x[i];
                x[i++] = x[j];
                x[j--] = swapped;
            }
        }
        if (k - 1 <= j) high = j;
        else if (k - 1 >= i) low = i;
        else break;
    }
    return x[k - 1];
}

/* e^x for x <= 0, to 4e-16 of it. libm's is as exact, but a compiler can compute several of these at once. */
static inline double exponential(double x) {
    const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer, in the lowest bits */
    const double shifted = x * 1.4426950408889634 + shift, k = shifted - shift;
    const double r = x - k * 6.93147180369123816490e-01 - k * 1.90821492927058770002e-10; /* ln 2, high and low */
    double y = 1.0 / 479001600; /* 1/12!, and so on down to 1/0! */
    y = y * r + 1.0 / 39916800;
    y = y * r + 1.0 / 3628800;
    y = y * r + 1.0 / 362880;
    y = y * r + 1.0 / 40320;
    y = y * r + 1.0 / 5040;
    y = y * r + 1.0 / 720;
    y = y * r + 1.0 / 120;
    y = y * r + 1.0 / 24;
    y = y * r + 1.0 / 6;
    y = y * r + 1.0 / 2;
    y = y * r + 1;
    y = y * r + 1;
    uint64_t bits;
    double power;
    memcpy(&bits, &shifted, 8);
    bits = (bits << 52) + 0x43f0000000000000; /* the exponent of a double; 64 more than k, which may be too small for one */
    memcpy(&power, &bits, 8);
    return x > -745.13 ? y * power * 0x1p-64 : 0;
}

/* Chooses by one uniform number in [0, 1), writes the choice to *token and returns it. */
int64_t tuirnn_choose(const Sampler *s, double uniform) {
    const float *logits = s->logits;
    const int64_t n = s->vocab;
    double *p = s->weights;
    int64_t best = s->banned == 0 && n > 1;
    for (int64_t i = 0; i < n; i++)
        if (logits[i] > logits[best] && i != s->banned) best = i;
    int64_t chosen = best;
    if (s->temperature > 0) {
        const double peak = logits[best], temperature = s->temperature;
        double total = 0, running = 0;
        for (int64_t i = 0; i < n; i++) p[i] = exponential((logits[i] - peak) / temperature);
        if (s->banned >= 0) p[s->banned] = 0;
        if (s->top_k > 0 && s->top_k < n) {
            for (int64_t i = 0; i < n; i++) p[n + i] = p[i];
            const double least = kth_largest(p + n, n, s->top_k);
            for (int64_t i = 0; i < n; i++)
                if (p[i] < least) p[i] = 0;
        }
        for (int64_t i = 0; i < n; i++) total += p[i];
        const double share = uniform * total;
        for (int64_t i = 0; i < n; i++) {
            if (p[i] > 0) chosen = i;
            running += p[i];
            if (running > share) break;
        }
    }
    *s->token = chosen;
    return chosen;
}
