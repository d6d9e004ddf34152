// The register-blocked product `accumulate`, which the time loop and matrix products use.

#pragma once

#include "tiles.h"

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

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES 1
#endif
#endif

// Exchange the words of a whose number has the bit `s` with those of b whose number has not.
template <int s, int... j>
INLINE void exchange(U& a, U& b, std::integer_sequence<int, j...>) {
#if defined(SHUFFLES)
    const U first = __builtin_shufflevector(a, b, (j & s ? L + (j ^ s) : j)...);
    b = __builtin_shufflevector(a, b, (j & s ? L + j : j ^ s)...);
    a = first;
#else
    (j & s ? (void)std::swap(((Word*)&a)[j], ((Word*)&b)[j ^ s]) : (void)0, ...);
#endif
}

// Transpose L × L words.
template <int s = 1>
INLINE void transpose(U (&block)[L]) {
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i)
        if (!(i & s)) exchange<s>(block[i], block[i | s], std::make_integer_sequence<int, L>());
    if constexpr (2 * s < L) transpose<2 * s>(block);
}

// Pack L columns of M [K, ·], of which `valid` exist, to out[k·stride + lane]; the others are zero.
template <class E>
static void pack_columns(const Matrix& M, long K, long valid, Word* out, long stride) {
    const Word* const end = out + words<E>(K) * stride;
    if (M.column == 1) {
        for (long k = 0; k < K; k += E::DEPTH, out += stride)
            *(UInMemory*)out = E::across(M.at + k * M.row, M.row, K - k, valid);
        for (; out < end; out += stride) *(UInMemory*)out = U{};
        return;
    }
    for (long k = 0; k < K; k += L * E::DEPTH, out += L * stride) {  // columns are contiguous
        U block[L] = {};
        for (long lane = 0; lane < valid; ++lane)
            block[lane] = E::along(M.at + k + lane * M.column, std::min(L * E::DEPTH, K - k));
        transpose(block);
        for (long i = 0; i < std::min<long>(L, words<E>(K - k)); ++i) *(UInMemory*)(out + i * stride) = block[i];
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

// The same for a matrix whose columns are contiguous.
template <class E>
static void pack_rows_across(const Matrix& M, long rows, long K, Word* out, long stride) {
    for (long r = 0; r < rows; r += L)
        for (long k = 0; k < K; k += L * E::DEPTH) {
            const long valid = std::min<long>(L, rows - r);
            U block[L] = {};
            for (long i = 0; i < L && k + i * E::DEPTH < K; ++i) {
                const long at = k + i * E::DEPTH;
                block[i] = E::across(M.at + at * M.column + r, M.column, K - at, valid);
            }
            transpose(block);
            for (long i = 0; i < valid; ++i) *(UInMemory*)(out + (r + i) * stride + k / E::DEPTH) = block[i];
        }
}

constexpr int GEMM_VECS = 4;
constexpr int GEMM_ROWS = TILE / GEMM_VECS;
constexpr long GEMM_TILES = 2 * TILE_ROWS;   // the same on tiles
constexpr long GEMM_WIDTH = GEMM_VECS * L;
constexpr long GEMM_DEPTH = 512;             // words of a block; a panel of B of that depth fits the second-level cache
constexpr long GEMM_BLOCK = std::lcm(16 * GEMM_ROWS, GEMM_TILES);  // rows of A that are packed together
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
        const Range rows = part(M, me, count, ON_TILES<E> ? TILE_ROWS : GEMM_ROWS), columns = part(panels, me, count);
        Word* const mine = scratch + panels * GEMM_WIDTH * GEMM_DEPTH + me * GEMM_BLOCK * GEMM_STRIDE;
        const bool across = A.row == 1 && A.column != 1;  // columns of A are contiguous
        const long row = across && !ON_TILES<E> ? 1 : GEMM_STRIDE, column = row == 1 ? GEMM_ROWS : 1;
        if constexpr (ON_TILES<E>) configure(TILE_ROWS);
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
                else if (ON_TILES<E>) pack_rows_across<E>(a, block, depth, mine, GEMM_STRIDE);
                else
                    for (long k = 0; k < depth; k += E::DEPTH)
                        for (long m = 0; m < block; m += GEMM_ROWS) {
                            __builtin_prefetch(a.at + (k + 16 * E::DEPTH) * a.column + m);
                            Word* const out = mine + m * GEMM_STRIDE + k / E::DEPTH * GEMM_ROWS;  // more than its rows: the
                            *(UInMemory*)out = E::across(a.at + k * a.column + m, a.column, depth - k,    // next k writes over them
                                                 std::min<long>(L, M - m0 - m));
                        }
                for (long p = 0; p < panels; ++p) {
                    const Word* const panel = scratch + p * GEMM_WIDTH * deep;
                    const auto add = [&](long m, int v, V s) {
                        const long n = p * GEMM_WIDTH + v * L, valid = std::clamp<long>(N - n, 0, L);
                        float* const out = C + (m0 + m) * N + n;
                        if (k0) s += load(out, valid);
                        else if (bias) s += load(bias + n, valid);
                        store(out, s, valid);
                    };
                    if constexpr (ON_TILES<E>)
                        for (long m = 0; m < block; m += GEMM_TILES) {
                            alignas(64) float sums[GEMM_TILES][GEMM_WIDTH];
                            const long tall = std::min(GEMM_TILES, block - m);
                            multiply_rows<GEMM_VECS>(mine + m * row, row, tall, TILE_ROWS, panel, deep, sums[0]);
                            for (long r = 0; r < tall; ++r)
                                for (int v = 0; v < GEMM_VECS; ++v) add(m + r, v, load(sums[r] + v * L));
                        }
                    else
                        for (long m = 0; m < block; m += GEMM_ROWS) {
                            const Word* const from = mine + m * GEMM_STRIDE;
                            tiles<GEMM_ROWS>(std::min<long>(GEMM_ROWS, block - m), [&]<int R>(long) {
                                V sum[R][GEMM_VECS] = {};
                                accumulate<E>(sum, from, row, column, panel, deep);
                                for (int r = 0; r < R; ++r)
                                    for (int v = 0; v < GEMM_VECS; ++v) add(m + r, v, sum[r][v]);
                            });
                        }
                }
            }
#pragma omp barrier
        }
        if constexpr (ON_TILES<E>) release();
    }
}
