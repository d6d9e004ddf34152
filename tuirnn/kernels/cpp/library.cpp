// The recurrence over a whole sequence and the large products around it, for CPUs with wide vectors: what Python calls.
//
// Compiled by native.py with the flags of the machine at hand; every result is held to portable.py by the tests.
// `bf16` asks for products of bfloat16 with sums in float; tensors are float32 either way.

#include "recurrence.h"

// Compiled in cell.cpp.
#define CELL(E, kind)                                                            \
    extern template void forward<E, kind>(const Sequence&, Word*, const Crew&);  \
    extern template void backward<E, kind>(const Sequence&, const Gradients&, Word*, const Crew&);
#define CELLS(E) CELL(E, RNN_TANH) CELL(E, RNN_RELU) CELL(E, LSTM) CELL(E, GRU_AFTER) CELL(E, GRU_BEFORE)
CELLS(F32)
#if HAS_BF16
CELLS(BF16)
#endif

extern "C" long tuirnn_lanes() { return L; }
extern "C" int tuirnn_has_bf16() { return HAS_BF16; }

// Words of scratch that tuirnn_product needs.
extern "C" long tuirnn_product_scratch(long N, int threads) { return product_scratch(N, threads); }

// Words of scratch that tuirnn_forward and tuirnn_backward need.
extern "C" long tuirnn_recurrence_scratch(int kind, long B, long H) {
    const long padded = (H + WIDE * L - 1) / (WIDE * L) * (WIDE * L);
    return gates(kind) * padded * H + B * H;
}

// C [M, N] = A B (+ bias [N], where given); A(m, k) at m·a_row + k·a_column, B(k, n) at k·b_row + n·b_column.
extern "C" void tuirnn_product(int bf16, long M, long N, long K, const float* A, long a_row, long a_column, const float* B,
                               long b_row, long b_column, const float* bias, float* C, Word* scratch, int threads) {
    const Matrix a = {A, a_row, a_column}, b = {B, b_row, b_column};
#if HAS_BF16
    if (bf16) return multiply<BF16>(M, N, K, a, b, bias, C, scratch, threads);
#endif
    multiply<F32>(M, N, K, a, b, bias, C, scratch, threads);
}

template <class E, class F>
static void of_kind(int kind, F f) {
    switch (kind) {
        case RNN_TANH: return f.template operator()<E, RNN_TANH>();
        case RNN_RELU: return f.template operator()<E, RNN_RELU>();
        case LSTM: return f.template operator()<E, LSTM>();
        case GRU_AFTER: return f.template operator()<E, GRU_AFTER>();
        case GRU_BEFORE: return f.template operator()<E, GRU_BEFORE>();
    }
}

// Call f<E, kind>(crew) on every thread.
template <class F>
static void on_threads(int bf16, int kind, int threads, F f) {
    std::vector<Counter> counters(threads);
#pragma omp parallel num_threads(threads)
    {
        const Crew crew = {omp_get_thread_num(), omp_get_num_threads(), counters.data()};
        const auto run = [&]<class E, Kind k>() { f.template operator()<E, k>(crew); };
#if HAS_BF16
        if (bf16) of_kind<BF16>(kind, run);
        else
#endif
            of_kind<F32>(kind, run);
    }
}

extern "C" void tuirnn_forward(int bf16, int kind, long T, long B, long H, float* a, float* h, float* c, float* saved,
                               const float* weight_hh, const float* bias_hh, Word* scratch, int threads) {
    const Sequence s = {T, B, H, a, h, c, saved, weight_hh, bias_hh};
    on_threads(bf16, kind, threads, [&]<class E, Kind k>(const Crew& crew) { forward<E, k>(s, scratch, crew); });
}

extern "C" void tuirnn_backward(int bf16, int kind, long T, long B, long H, float* a, float* h, float* c, float* saved,
                                const float* weight_hh, const float* dh_all, float* dgh, float* dgx, float* dh,
                                float* dc, double* squares, Word* scratch, int threads) {
    const Sequence s = {T, B, H, a, h, c, saved, weight_hh, nullptr};
    on_threads(bf16, kind, threads, [&]<class E, Kind k>(const Crew& crew) {
        backward<E, k>(s, {dh_all, dgh, dgx, dh, dc, squares + crew.me * T}, scratch, crew);
    });
}
