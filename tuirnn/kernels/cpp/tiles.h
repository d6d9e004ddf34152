// Tiles: matrices of up to 16 rows of L words that one instruction multiplies (Intel AMX, `tdpbf16ps`).
//
// Compiled with -mamx-tile -mamx-bf16 these are the instructions, otherwise an emulation of them, slow and to the bit as
// the manual says ("Intel 64 and IA-32 Architectures Software Developer's Manual", TDPBF16PS), so that tests can run
// everything around them on any processor.

#pragma once

#include <utility>

#include "vectors.h"

#if (defined(__AMX_TILE__) && defined(__AMX_BF16__)) || (defined(__AMXTILE__) && defined(__AMXBF16__))  // GCC, Clang
#define EMULATED 0
#include <sys/syscall.h>
#include <unistd.h>
#else
#define EMULATED 1
#endif

constexpr int TILE_ROWS = 16;
constexpr int FIRST_A = 4, FIRST_B = 6;  // tiles 0 to 3 are sums, 4 and 5 rows of A, 6 and 7 rows of B

#if !EMULATED

// Ask Linux for the permission to use tiles, once for the process; whether it is given.
inline bool permitted() {
    constexpr long REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

// Set the sizes of all tiles: sums and A have `rows` rows, B has L.
INLINE void configure(int rows) {
    struct alignas(64) { uint8_t palette, start; uint8_t reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } all = {};
    all.palette = 1;
    for (int t = 0; t < 8; ++t) all.bytes[t] = L * sizeof(Word), all.rows[t] = t < FIRST_B ? rows : L;
    asm volatile("ldtilecfg %0" ::"m"(all));
}
INLINE void release() { asm volatile("tilerelease"); }

template <int tile> INLINE void zero() { asm volatile("tilezero %%tmm%c0" ::"i"(tile)); }
template <int tile> INLINE void load_tile(const void* from, long row) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row * sizeof(Word)), "i"(tile) : "memory");
}
template <int tile> INLINE void store_tile(void* to, long row) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row * sizeof(Word)), "i"(tile) : "memory");
}
// sum[m][n] += Σ_k a[m][k] · b[k][n], where a word is a pair and the product of two words that of the pairs.
template <int sum, int a, int b> INLINE void multiply_tile() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sum), "i"(a), "i"(b));
}

#else

inline bool permitted() { return true; }

struct Tiles {
    long rows[8];
    alignas(64) Word words[8][TILE_ROWS][L];
};
static thread_local Tiles tiles_of_thread;

static void configure(int rows) {
    tiles_of_thread = {};
    for (int t = 0; t < 8; ++t) tiles_of_thread.rows[t] = t < FIRST_B ? rows : L;
}
static void release() { tiles_of_thread = {}; }

template <int tile> static void zero() { std::memset(tiles_of_thread.words[tile], 0, sizeof tiles_of_thread.words[tile]); }
template <int tile> static void load_tile(const Word* from, long row) {
    zero<tile>();
    for (long r = 0; r < tiles_of_thread.rows[tile]; ++r)
        std::memcpy(tiles_of_thread.words[tile][r], from + r * row, L * sizeof(Word));
}
template <int tile> static void store_tile(float* to, long row) {
    for (long r = 0; r < tiles_of_thread.rows[tile]; ++r)
        std::memcpy(to + r * row, tiles_of_thread.words[tile][r], L * sizeof(Word));
}

// Numbers below the smallest normal one count as zero, as operands and as results.
INLINE V flushed(V x) {
    const V size = x < splat(0.0f) ? -x : x;
    return size < splat(1.17549435e-38f) ? V{} : x;
}

// The lower, or the upper, bfloat16 of each word.
INLINE V lower(U words) { return flushed((V)(words << 16)); }
INLINE V upper(U words) { return flushed((V)(words & 0xffff0000u)); }

// The first numbers of all pairs are summed apart from the second ones; both sums are added before they join the tile.
template <int sum, int a, int b> static void multiply_tile() {
    Tiles& all = tiles_of_thread;
    for (long m = 0; m < all.rows[sum]; ++m) {
        V first = {}, second = {};
        for (long k = 0; k < L; ++k) {
            const U left = U{} + all.words[a][m][k], right = *(const UInMemory*)all.words[b][k];
            first = flushed(lower(left) * lower(right) + first);
            second = flushed(upper(left) * upper(right) + second);
        }
        float* const out = (float*)all.words[sum][m];
        store(out, flushed(flushed(load(out)) + flushed(first + second)));
    }
}

#endif

// sums(r, v·L + n) = Σ_k A(r, k) P(k, v·L + n) for C of P's VECS vectors from `v` on, and for R tiles of `tall` rows.
template <int R, int C, int VECS>
INLINE void multiply_some(const Word* A, long row, long tall, const Word* P, long K, float* sums) {
    constexpr auto columns = std::make_index_sequence<C>();
    const auto each = [&]<size_t... c>(std::index_sequence<c...>, auto f) { (f.template operator()<(int)c>(), ...); };
    each(columns, [&]<int c>() { zero<c>(); if constexpr (R == 2) zero<C + c>(); });
    for (long k = 0; k < K; k += L) {
        load_tile<FIRST_A>(A + k, row);
        if constexpr (R == 2) load_tile<FIRST_A + 1>(A + tall * row + k, row);
        each(columns, [&]<int c>() {
            constexpr int B = FIRST_B + c % 2;
            load_tile<B>(P + k * VECS * L + c * L, VECS * L);
            multiply_tile<c, FIRST_A, B>();
            if constexpr (R == 2) multiply_tile<C + c, FIRST_A + 1, B>();
        });
    }
    each(columns, [&]<int c>() {
        store_tile<c>(sums + c * L, VECS * L);
        if constexpr (R == 2) store_tile<C + c>(sums + tall * VECS * L + c * L, VECS * L);
    });
}

// The same for all vectors of P [K, VECS·L]: four at a time for one tile of rows, two for two.
template <int R, int VECS, int v = 0>
INLINE void multiply_tiles(const Word* A, long row, long tall, const Word* P, long K, float* sums) {
    constexpr int C = std::min(VECS - v, 4 / R);
    multiply_some<R, C, VECS>(A, row, tall, P + v * L, K, sums + v * L);
    if constexpr (v + C < VECS) multiply_tiles<R, VECS, v + C>(A, row, tall, P, K, sums);
}

// The same for `rows` rows, of at most two tiles of `tall` rows.
template <int VECS>
INLINE void multiply_rows(const Word* A, long row, long rows, long tall, const Word* P, long K, float* sums) {
    if (rows > tall) multiply_tiles<2, VECS>(A, row, tall, P, K, sums);
    else multiply_tiles<1, VECS>(A, row, tall, P, K, sums);
}

// Rows of a tile, so that tiles of nearly equal height cover `rows`.
INLINE long tile_height(long rows) {
    const long count = std::max<long>(1, (rows + TILE_ROWS - 1) / TILE_ROWS);
    return std::max<long>(1, (rows + count - 1) / count);
}
