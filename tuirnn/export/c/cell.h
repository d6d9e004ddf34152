/* One step of a recurrent network that writes text. C99, no dependencies but the maths library. */

#ifndef CELL_H
#define CELL_H

#include "cell_sizes.h" /* CELL_VOCAB, CELL_UNKNOWN, CELL_OPENING, ... of this network */

typedef struct {
    float h[CELL_LAYERS][CELL_HIDDEN];
#if CELL_KIND == CELL_LSTM
    float c[CELL_LAYERS][CELL_HIDDEN];
#endif
} cell_state;

/* The state before the first token. A text begins after CELL_OPENING. */
void cell_reset(cell_state *state);

/* Reads a token and gives the scores of the next one, logits[CELL_VOCAB]. */
void cell_step(cell_state *state, int token, float *logits);

/* Chooses a token. temperature: 0 is greedy; top_k: 0 is all; uniform: a random number in [0, 1). */
int cell_sample(const float *logits, double temperature, int top_k, double uniform);

/* What a token stands for, as UTF-8 with a closing zero; *length excludes it. */
const char *cell_symbol(int token, int *length);

/* The token at the beginning of a UTF-8 text, CELL_UNKNOWN where there is none; *length: the bytes it covers. */
int cell_token(const char *text, int *length);

/* 1 where this build reproduces the network's test vector, else 0. */
int cell_verify(void);

#endif
