/* One step of a recurrent network. C99 and C++; needs only the maths library, and allocates nothing.
 *
 * All data but the caller's are constant: threads may call every function at the same time, each with its own state.
 * Flash and RAM are in cell_sizes.h. */

#ifndef CELL_H
#define CELL_H

#include "cell_sizes.h" /* CELL_OUTPUTS, CELL_VOCAB, CELL_OPENING, ... of this network */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    CELL_STATE /* float h[CELL_LAYERS][CELL_HIDDEN]; and further parts of the state */
} cell_state;

/* Sets the state before the first token or point: zeros, or, with CELL_PRIMED, where the network's prime ends. */
void cell_reset(cell_state *state);

#if CELL_POINTS

/* Reads a point x[CELL_INPUTS] and forecasts the next one, y[CELL_COLUMNS], in the data's own units. Returns 1.
 * x has CELL_COLUMNS numbers, and after them, if CELL_PERIODS is above 0, what cell_calendar writes.
 * With CELL_LOOK_BACK above 0, each forecast begins with cell_reset and reads so many points. */
int cell_step(cell_state *state, const float *x, float *y);

#if CELL_PERIODS
/* Writes the calendar into x[CELL_COLUMNS ... CELL_INPUTS - 1]; next: the time of the next point, the one that
 * cell_step(state, x, y) will forecast, in seconds since 1970. */
void cell_calendar(double next, float *x);
#endif

/* The name of a column; "" if there is no such column. */
const char *cell_column(int column);

#else

/* Reads a token and computes logits[CELL_OUTPUTS]: of the next token, or of the classes.
 * Returns 1; if the token is not one of 0 ... CELL_VOCAB - 1, changes nothing and returns 0. */
int cell_step(cell_state *state, int token, float *logits);

#if CELL_CLASSES

/* The name of a class; "" if there is no such class. A sequence begins with its first token, after cell_reset. */
const char *cell_class(int number);

#else

/* Chooses a token. temperature: 0 is greedy; top_k: 0 is all; uniform: a random number in [0, 1).
 * The first token of a text follows CELL_OPENING. Needs 8 * CELL_VOCAB bytes of stack. */
int cell_sample(const float *logits, double temperature, int top_k, double uniform);

#endif

/* The symbol of a token as UTF-8 with a terminating zero, which *length excludes; "" and 0 if there is no such token.
 * Symbols of bytes and subwords may end within a UTF-8 character: collect whole characters before you show them. */
const char *cell_symbol(int token, int *length);

#if CELL_MERGES && !defined(CELL_LONGEST)
#define CELL_LONGEST 1024
#endif

/* The first token of a UTF-8 text that ends with a zero; *length: its bytes, 0 at the end of the text.
 * Subwords: the bytes that belong together are looked at up to CELL_LONGEST at a time, 4 bytes of stack for each.
 * CELL_UNKNOWN for a symbol that is not in the vocabulary, for a byte that is not UTF-8, and at the end. */
int cell_token(const char *text, int *length);

#endif

/* Returns 1 if this build reproduces the network's test vector, else 0. */
int cell_verify(void);

#ifdef __cplusplus
}
#endif

#endif
