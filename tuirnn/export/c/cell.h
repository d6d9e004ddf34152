/* One step of a recurrent network that writes text. C99 and C++, no dependencies but the maths library.
 *
 * Everything but what a caller hands over is constant: threads may call all of it at once, each with a state of its
 * own. A step needs some 4 * (CELL_GATES * CELL_HIDDEN * 2 + CELL_VOCAB) bytes of stack, a choice 8 * CELL_VOCAB. */

#ifndef CELL_H
#define CELL_H

#include "cell_sizes.h" /* CELL_VOCAB, CELL_UNKNOWN, CELL_OPENING, ... of this network */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    CELL_STATE /* float h[CELL_LAYERS][CELL_HIDDEN]; and what else the cell carries from step to step */
} cell_state;

/* The state before the first token. A text begins after CELL_OPENING. */
void cell_reset(cell_state *state);

/* Reads a token and gives the scores of the next one, logits[CELL_VOCAB].
 * Returns 1; where the token is not one of 0 ... CELL_VOCAB - 1 it changes nothing and returns 0. */
int cell_step(cell_state *state, int token, float *logits);

/* Chooses a token. temperature: 0 is greedy; top_k: 0 is all; uniform: a random number in [0, 1). */
int cell_sample(const float *logits, double temperature, int top_k, double uniform);

/* What a token stands for, as UTF-8 with a closing zero; *length excludes it. "" and 0 for what is no token.
 * A byte is part of a UTF-8 character: gather them before you show them. */
const char *cell_symbol(int token, int *length);

/* The token at the beginning of a UTF-8 text that ends with a zero; *length: the bytes it covers, 0 at the end.
 * CELL_UNKNOWN for what is not in the vocabulary, for a byte that is no UTF-8, and at the end. */
int cell_token(const char *text, int *length);

/* 1 where this build reproduces the network's test vector, else 0. */
int cell_verify(void);

#ifdef __cplusplus
}
#endif

#endif
