// The register-blocked product `accumulate`, which the time loop and matrix products use.

#pragma once

#include "vectors.h"

#if defined(_OPENMP)
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
static int omp_get_num_threads() { return 1; }
#endif

struct Range { long first, last; };

// Part i of `count` of [0, n), with limits at multiples of `grain`.
INLINE Range part(long n, long i, long count, long grain = 1) {
    const long pieces = (n + grain - 1) / grain;
    return {std::min(n, pieces * i / count * grain), std::min(n, pieces * (i + 1) / count * grain)};
}

// A float32 matrix: element (i, j) at i·row + j·column, one of which is 1.
struct Matrix {
    const float* at;
    long row, column;
    INLINE Matrix from(const Matrix& M, long i, long j) { return {M.at + i * M.row + j * M.column, M.row, M.column}; }
};

// sum[r][v] += Σ_k A(r, k) P(k, v) over K words: A strided, P packed as [K][VECS·L].
template <class E, int R, int VECS>
INLINE void accumulate(V (&sums)[R][VECS], const Word* A, long row, long column, const Word* P, long K) {
    V sum[R][VECS];  // a copy that nothing else points to, so that it stays in registers
    std::memcpy(sum, sums, sizeof sum);
    for (long k = 0; k < K; ++k, A += column, P += VECS * L) {
        U p[VECS];
#pragma GCC unroll 8
        for (int v = 0; v < VECS; ++v) p[v] = *(const UInMemory*)(P + v * L);
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r) {
            const U a = U{} + A[r * row];
#pragma GCC unroll 8
            for (int v = 0; v < VECS; ++v) sum[r][v] = E::multiply_add(sum[r][v], a, p[v]);
        }
    }
    std::memcpy(sums, sum, sizeof sum);
}

// Call f.template operator()<R>(first) for tiles of R ≤ MOST rows that cover `rows`, of nearly equal sizes.
template <int MOST, class F>
INLINE void tiles(long rows, F f) {
    const long count = (rows + MOST - 1) / MOST;
    for (long i = 0; i < count; ++i) {
        const Range tile = part(rows, i, count);
        switch (tile.last - tile.first) {
#define CASE(n) case n: if constexpr (n <= MOST) f.template operator()<n>(tile.first); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#undef CASE
        }
    }
}

// Pack L columns of M [K, ·], of which `valid` exist, to out[k·stride + lane]; the others are zero.
template <class E>
static void pack_columns(const Matrix& M, long K, long valid, Word* out, long stride) {
    if (M.column == 1) {
        for (long k = 0; k < K; k += E::DEPTH, out += stride)
            *(UInMemory*)out = E::across(M.at + k * M.row, M.row, K - k, valid);
        return;
    }
    for (long k = 0; k < K; k += L * E::DEPTH, out += L * stride) {  // columns are contiguous: transpose L × L words
        Word block[L][L] = {};
        for (long lane = 0; lane < valid; ++lane)
            *(UInMemory*)block[lane] = E::along(M.at + k + lane * M.column, std::min(L * E::DEPTH, K - k));
        for (long i = 0; i < std::min<long>(L, words<E>(K - k)); ++i)
            for (long lane = 0; lane < L; ++lane) out[i * stride + lane] = block[lane][i];
    }
}

// Pack rows of M [rows, K] as contiguous words: out[r·stride + k].
template <class E>
static void pack_rows(const Matrix& M, long rows, long K, Word* out, long stride) {
    for (long r = 0; r < rows; ++r)
        for (long k = 0; k < K; k += L * E::DEPTH) {
            const long n = std::min(L * E::DEPTH, K - k);
            const U w = E::along(M.at + r * M.row + k, n);
            std::memcpy(out + r * stride + k / E::DEPTH, &w, words<E>(n) * sizeof(Word));
        }
}

constexpr int GEMM_VECS = 4;
constexpr int GEMM_ROWS = TILE / GEMM_VECS;
constexpr long GEMM_WIDTH = GEMM_VECS * L;
constexpr long GEMM_DEPTH = 512;             // words of a block; a panel of B of that depth fits the second-level cache
constexpr long GEMM_BLOCK = 16 * GEMM_ROWS;  // rows of A that are packed together
constexpr long GEMM_STRIDE = GEMM_DEPTH + L; // of those rows; a power of two would map them to the same cache sets

// Words of scratch memory for `multiply`.
static long product_scratch(long N, long threads) {
    return (N + GEMM_WIDTH - 1) / GEMM_WIDTH * GEMM_WIDTH * GEMM_DEPTH + threads * GEMM_BLOCK * GEMM_STRIDE;
}

// C [M, N] = A B (+ bias [N], if given), C row-major.
template <class E>
static void multiply(long M, long N, long K, const Matrix& A, const Matrix& B, const float* bias, float* C, Word* scratch,
                     int threads) {
#pragma omp parallel num_threads(threads)
    {
        const long me = omp_get_thread_num(), count = omp_get_num_threads(), panels = (N + GEMM_WIDTH - 1) / GEMM_WIDTH;
        const Range rows = part(M, me, count, GEMM_ROWS), columns = part(panels, me, count);
        Word* const mine = scratch + panels * GEMM_WIDTH * GEMM_DEPTH + me * GEMM_BLOCK * GEMM_STRIDE;
        const bool across = A.row == 1 && A.column != 1;  // columns of A are contiguous
        const long row = across ? 1 : GEMM_STRIDE, column = across ? GEMM_ROWS : 1;
        for (long k0 = 0; k0 < K; k0 += GEMM_DEPTH * E::DEPTH) {
            const long depth = std::min(GEMM_DEPTH * E::DEPTH, K - k0), deep = words<E>(depth);
            for (long p = columns.first; p < columns.last; ++p)
                for (long v = 0; v < GEMM_VECS; ++v) {
                    const long n = p * GEMM_WIDTH + v * L;
                    pack_columns<E>(Matrix::from(B, k0, n), depth, std::clamp<long>(N - n, 0, L),
                                    scratch + p * GEMM_WIDTH * deep + v * L, GEMM_WIDTH);
                }
#pragma omp barrier
            for (long m0 = rows.first; m0 < rows.last; m0 += GEMM_BLOCK) {
                const long block = std::min(GEMM_BLOCK, rows.last - m0);
                const Matrix a = Matrix::from(A, m0, k0);
                if (!across) pack_rows<E>(a, block, depth, mine, GEMM_STRIDE);
                else
                    for (long k = 0; k < depth; k += E::DEPTH)
                        for (long m = 0; m < block; m += GEMM_ROWS) {
                            __builtin_prefetch(a.at + (k + 16 * E::DEPTH) * a.column + m);
                            Word* const out = mine + m * GEMM_STRIDE + k / E::DEPTH * GEMM_ROWS;  // more than its rows: the
                            *(UInMemory*)out = E::across(a.at + k * a.column + m, a.column, depth - k,    // next k writes over them
                                                 std::min<long>(L, M - m0 - m));
                        }
                for (long p = 0; p < panels; ++p)
                    for (long m = 0; m < block; m += GEMM_ROWS) {
                        const long tall = std::min<long>(GEMM_ROWS, block - m);
                        const Word* const from = mine + m * GEMM_STRIDE;
                        tiles<GEMM_ROWS>(tall, [&]<int R>(long) {
                            V sum[R][GEMM_VECS] = {};
                            accumulate<E>(sum, from, row, column, scratch + p * GEMM_WIDTH * deep, deep);
                            for (int r = 0; r < R; ++r)
                                for (int v = 0; v < GEMM_VECS; ++v) {
                                    const long n = p * GEMM_WIDTH + v * L, valid = std::clamp<long>(N - n, 0, L);
                                    float* out = C + (m0 + m + r) * N + n;
                                    V s = sum[r][v];
                                    if (k0) s += load(out, valid);
                                    else if (bias) s += load(bias + n, valid);
                                    store(out, s, valid);
                                }
                        });
                    }
            }
#pragma omp barrier
        }
    }
}
