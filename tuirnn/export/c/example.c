/* Writes text: ./example [prime] [length] [temperature] [seed] */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cell.h"

static double uniform(uint64_t *seed) { /* xorshift64*, 53 bits */
    *seed ^= *seed >> 12, *seed ^= *seed << 25, *seed ^= *seed >> 27;
    return (double)((*seed * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

int main(int argc, char **argv) {
    const char *prime = argc > 1 ? argv[1] : "The ";
    int length = argc > 2 ? atoi(argv[2]) : 400, size;
    double temperature = argc > 3 ? atof(argv[3]) : 0.7;
    uint64_t seed = (argc > 4 ? strtoull(argv[4], NULL, 10) : 1) * UINT64_C(2654435769) + 1;
    if (!cell_verify()) return fprintf(stderr, "this build does not reproduce the network's test vector\n"), 1;

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
