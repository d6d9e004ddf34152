// The large products around the recurrence, for CPUs with wide vectors: what Python calls for every cell.
//
// Compiled by native.py with the flags of the machine at hand. `bf16` asks for products of bfloat16 with sums in float;
// tensors are float32 either way.

#include "products.h"

CALLED long tuirnn_lanes() { return L; }
CALLED int tuirnn_has_bf16() { return HAS_BF16; }

// Words of scratch that tuirnn_product needs.
CALLED long tuirnn_product_scratch(long N, int threads) { return product_scratch(N, threads); }

// C [M, N] = A B (+ bias [N], where given); A(m, k) at m·a_row + k·a_column, B(k, n) at k·b_row + n·b_column.
CALLED void tuirnn_product(int bf16, long M, long N, long K, const float* A, long a_row, long a_column, const float* B,
                               long b_row, long b_column, const float* bias, float* C, Word* scratch, int threads) {
    const Matrix a = {A, a_row, a_column}, b = {B, b_row, b_column};
#if HAS_BF16
    if (bf16) return multiply<BF16>(M, N, K, a, b, bias, C, scratch, threads);
#endif
    multiply<F32>(M, N, K, a, b, bias, C, scratch, threads);
}
