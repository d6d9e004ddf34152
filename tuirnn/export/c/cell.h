/* One step of a recurrent network that writes text. C99 and C++; needs only the maths library.
 *
 * All data but the caller's are constant: threads may call every function at the same time, each with its own state.
 * A step needs about 4 * (CELL_GATES * CELL_HIDDEN * 2 + CELL_VOCAB) bytes of stack, a choice 8 * CELL_VOCAB. */

#ifndef CELL_H
#define CELL_H

#include "cell_sizes.h" /* CELL_VOCAB, CELL_UNKNOWN, CELL_OPENING, ... of this network */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    CELL_STATE /* float h[CELL_LAYERS][CELL_HIDDEN]; and further parts of the state */
} cell_state;

/* Sets the state before the first token. The first token of a text follows CELL_OPENING. */
void cell_reset(cell_state *state);

/* Reads a token and computes the logits of the next one, logits[CELL_VOCAB].
 * Returns 1; if the token is not one of 0 ... CELL_VOCAB - 1, changes nothing and returns 0. */
int cell_step(cell_state *state, int token, float *logits);

/* Chooses a token. temperature: 0 is greedy; top_k: 0 is all; uniform: a random number in [0, 1). */
int cell_sample(const float *logits, double temperature, int top_k, double uniform);

/* The symbol of a token as UTF-8 with a terminating zero, which *length excludes; "" and 0 if there is no such token.
 * The symbol of a byte vocabulary is part of a UTF-8 character: collect whole characters before you show them. */
const char *cell_symbol(int token, int *length);

/* The first token of a UTF-8 text that ends with a zero; *length: its bytes, 0 at the end of the text.
 * CELL_UNKNOWN for a symbol that is not in the vocabulary, for a byte that is not UTF-8, and at the end. */
int cell_token(const char *text, int *length);

/* Returns 1 if this build reproduces the network's test vector, else 0. */
int cell_verify(void);

#ifdef __cplusplus
}
#endif

#endif
