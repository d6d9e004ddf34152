// The functions that Python calls, for one cell and one type of operands (OPERAND): compiled once for each type, into
// one library.

#include "recurrence.h"

#define JOINED(name, operand) name##_##operand
#define NAMED(name, operand) JOINED(name, operand)

#if defined(OPERAND_F32) || defined(OPERAND_TILES) || HAS_BF16

// Words of scratch memory for a pass; a word is a float or a pair of bfloat16.
CALLED long NAMED(tuirnn_scratch, OPERAND)(long B, long H) {
    return scratch_words<OPERAND>(H) + (Cell::OPERANDS + Cell::CARRIES) * B * H + Cell::ONCE * H;
}

static std::array<float*, Cell::STATES> of_states(float* const* pointers) {
    std::array<float*, Cell::STATES> found;
    std::copy_n(pointers, Cell::STATES, found.begin());
    return found;
}

template <class F>
static void on_threads(int threads, F f) {
    std::vector<Counter> counters(threads);
#pragma omp parallel num_threads(threads)
    f(Threads{omp_get_thread_num(), omp_get_num_threads(), counters.data()});
}

CALLED void NAMED(tuirnn_forward, OPERAND)(long T, long B, long H, float* a, float* const* states, float* extras,
                                               const float* weight, const float* bias, const float* vectors,
                                               Word* scratch, int threads) {
    float* const buffers = (float*)scratch + scratch_words<OPERAND>(H);
    const Sequence s = {T, B, H, a, of_states(states), extras, weight, bias, vectors, buffers};
    on_threads(threads, [&](const Threads& all) { forward<OPERAND>(s, scratch, all); });
}

CALLED void NAMED(tuirnn_backward, OPERAND)(long T, long B, long H, float* a, float* const* states, float* extras,
                                                const float* weight, const float* vectors, const float* dh_all,
                                                float* dgates, float* dx, float* const* dstates, float* dvectors,
                                                double* squares, Word* scratch, int threads) {
    float* const buffers = (float*)scratch + scratch_words<OPERAND>(H);
    const Sequence s = {T, B, H, a, of_states(states), extras, weight, nullptr, vectors, buffers};
    on_threads(threads, [&](const Threads& all) {
        float* const own = dvectors + all.me * Cell::VECTORS * H;
        backward<OPERAND>(s, {dh_all, dgates, dx, of_states(dstates), own, squares + all.me * T}, scratch, all);
    });
}

#endif
