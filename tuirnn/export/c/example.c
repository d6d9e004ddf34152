/* A language model writes:          ./example [prime] [length] [temperature] [seed]
 * A network with classes judges:    ./example text
 * A forecaster reads and goes on:   ./example [steps] < numbers, CELL_COLUMNS for each point
 * One with a calendar (CELL_PERIODS): ./example steps time seconds < numbers; time: of the first point, since 1970, and
 * seconds from each point to the next */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cell.h"

#if CELL_POINTS

/* Reads the points of standard input; returns their number. Keeps the last CELL_LOOK_BACK of them, at least one. */
enum { KEPT = CELL_LOOK_BACK > 0 ? CELL_LOOK_BACK : 1 };
static float kept[KEPT][CELL_INPUTS];
static double first_time, seconds;

static void read_point(cell_state *state, long number, float *y) {
    float *x = kept[number % KEPT];
#if CELL_PERIODS
    cell_calendar(first_time + seconds * (double)(number + 1), x);
#endif
    cell_step(state, x, y);
}

static void forecast(cell_state *state, long count, float *y) {
    long first = count > KEPT ? count - KEPT : 0;
    if (CELL_LOOK_BACK) cell_reset(state);
    for (long i = CELL_LOOK_BACK ? first : count - 1; i < count; i++) read_point(state, i, y);
}

static int run(int argc, char **argv) {
    int steps = argc > 1 ? atoi(argv[1]) : 10, column = 0;
    long count = 0;
    float y[CELL_COLUMNS] = {0}, value;
    cell_state state;
    if (CELL_PERIODS && argc < 4) return fprintf(stderr, "./example steps time seconds: see example.c\n"), 1;
    first_time = argc > 2 ? atof(argv[2]) : 0;
    seconds = argc > 3 ? atof(argv[3]) : 0;
    cell_reset(&state);
    while (scanf("%f%*[ ,;\t]", &value) == 1) {
        kept[count % KEPT][column++] = value;
        if (column < CELL_COLUMNS) continue;
        column = 0, count++;
        if (!CELL_LOOK_BACK) read_point(&state, count - 1, y);
    }
    if (!count && steps > 0) return fprintf(stderr, "no points of %d numbers on standard input\n", CELL_COLUMNS), 1;
    for (int i = 0; i < steps; i++) {
        if (CELL_LOOK_BACK || i) forecast(&state, count, y);
        for (int j = 0; j < CELL_COLUMNS; j++) printf("%.9g%c", (double)y[j], j + 1 < CELL_COLUMNS ? ',' : '\n');
        for (int j = 0; j < CELL_COLUMNS; j++) kept[count % KEPT][j] = y[j];
        count++;
    }
    return 0;
}

#elif CELL_CLASSES

static int run(int argc, char **argv) {
    float logits[CELL_OUTPUTS];
    int size;
    cell_state state;
    cell_reset(&state);
    for (const char *at = argc > 1 ? argv[1] : ""; *at; at += size) {
        int best = 0;
        cell_step(&state, cell_token(at, &size), logits);
        for (int i = 1; i < CELL_CLASSES; i++)
            if (logits[i] > logits[best]) best = i;
        printf("%.*s\t%s\n", size, at, cell_class(best));
    }
    return 0;
}

#else

static double uniform(uint64_t *seed) { /* xorshift64*, 53 bits */
    *seed ^= *seed >> 12, *seed ^= *seed << 25, *seed ^= *seed >> 27;
    return (double)((*seed * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

static int run(int argc, char **argv) {
    const char *prime = argc > 1 ? argv[1] : "The ";
    int length = argc > 2 ? atoi(argv[2]) : 400, size;
    double temperature = argc > 3 ? atof(argv[3]) : 0.7;
    uint64_t seed = (argc > 4 ? strtoull(argv[4], NULL, 10) : 1) * UINT64_C(2654435769) + 1;
    cell_state state;
    float logits[CELL_VOCAB];
    cell_reset(&state);
    cell_step(&state, CELL_OPENING, logits);
    for (const char *at = prime; *at; at += size) cell_step(&state, cell_token(at, &size), logits);
    fputs(prime, stdout);
    for (int i = 0; i < length; i++) {
        int token = cell_sample(logits, temperature, 0, uniform(&seed));
        const char *symbol = cell_symbol(token, &size);
        fwrite(symbol, 1, (size_t)size, stdout);
        cell_step(&state, token, logits);
    }
    putchar('\n');
    return 0;
}

#endif

int main(int argc, char **argv) {
    if (cell_verify()) return run(argc, argv);
    return fprintf(stderr, "this build does not reproduce the network's test vector\n"), 1;
}
