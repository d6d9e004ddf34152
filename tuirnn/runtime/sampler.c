/* Choosing the next token, as samplers.py does it, without Python between two characters. Plain C99. */

#include <math.h>
#include <stdint.h>

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
        for (int64_t i = 0; i < n; i++) p[i] = i == s->banned ? 0 : exp((logits[i] - peak) / temperature);
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
