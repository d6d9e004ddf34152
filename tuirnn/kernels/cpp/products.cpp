// Large matrix products outside the time loop, the same for every cell: the functions that Python calls.
//
// native.py compiles them with the flags of the machine. Tensors are float32; `operand` selects what they are rounded to:
// 0 nothing, 1 bfloat16, 2 bfloat16 on tiles, which only a library compiled with the macro WITH_TILES has.

#include "products.h"

CALLED long tuirnn_lanes() { return L; }
CALLED int tuirnn_has_bf16() { return HAS_BF16; }

// 0: no tiles here, 1: an emulation, 2: this processor's.
CALLED int tuirnn_tiles() {
#if defined(WITH_TILES)
    return permitted() ? 2 - EMULATED : 0;
#else
    return 0;
#endif
}

// Words of scratch memory for tuirnn_product.
CALLED long tuirnn_product_scratch(long N, int threads) { return product_scratch(N, threads); }

// C [M, N] = A B (+ bias [N], if given); A(m, k) at m·a_row + k·a_column, B(k, n) at k·b_row + n·b_column.
CALLED void tuirnn_product(int operand, long M, long N, long K, const float* A, long a_row, long a_column, const float* B,
                               long b_row, long b_column, const float* bias, float* C, Word* scratch, int threads) {
    const Matrix a = {A, a_row, a_column}, b = {B, b_row, b_column};
#if defined(WITH_TILES)
    if (operand == 2) return multiply<TILES>(M, N, K, a, b, bias, C, scratch, threads);
#endif
#if HAS_BF16
    if (operand) return multiply<BF16>(M, N, K, a, b, bias, C, scratch, threads);
#endif
    multiply<F32>(M, N, K, a, b, bias, C, scratch, threads);
}
