// Vectors of floats in the compiler's vector types, elementwise functions, and the operands of products.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#define HAS_BF16 1
#else
#define HAS_BF16 0
#endif

#if defined(__AVX512F__)
constexpr int L = 16;      // lanes of a vector
constexpr int TILE = 24;   // accumulators that fit in the registers together with operands
#elif defined(__AVX2__)
constexpr int L = 8;
constexpr int TILE = 12;
#else
constexpr int L = 4;
constexpr int TILE = 12;
#endif

typedef uint32_t Word;  // an operand: a float, or two bfloat16 of neighbouring k, the first in the low half
typedef float V __attribute__((vector_size(L * 4)));
typedef int32_t I __attribute__((vector_size(L * 4)));
typedef Word U __attribute__((vector_size(L * 4)));
typedef V VInMemory __attribute__((aligned(4), may_alias));  // values keep their alignment: Clang stores them by it
typedef U UInMemory __attribute__((aligned(4), may_alias));

#define CALLED extern "C" __attribute__((visibility("default")))  // from Python
#define INLINE static inline __attribute__((always_inline))

INLINE V splat(float x) { return V{} + x; }

// Load the first n lanes; the others are zero.
INLINE V load(const float* p, long n = L) {
    if (__builtin_expect(n == L, 1)) return *(const VInMemory*)p;
#if defined(__AVX512F__)
    return (V)_mm512_maskz_loadu_ps((1u << n) - 1u, p);
#else
    V v = {};
    std::memcpy(&v, p, n * sizeof(float));
    return v;
#endif
}

INLINE void store(float* p, V v, long n = L) {
    if (__builtin_expect(n == L, 1)) *(VInMemory*)p = v;
#if defined(__AVX512F__)
    else _mm512_mask_storeu_ps(p, (1u << n) - 1u, (__m512)v);
#else
    else std::memcpy(p, &v, n * sizeof(float));
#endif
}

// Load and prefetch the next vector: between two vectors of a row a panel of weights is read.
INLINE V load_ahead(const float* p, long n) {
    __builtin_prefetch(p + L);
    return load(p, n);
}

// ── elementwise functions; NaN in, NaN out ──────────────────────────────────────

// The smaller, or the larger, of x and a bound; NaN in, NaN out.
INLINE V at_most(V x, float most) {
#if defined(__AVX512F__)
    return (V)_mm512_min_ps((__m512)splat(most), (__m512)x);
#else
    return x > splat(most) ? splat(most) : x;
#endif
}

INLINE V at_least(V x, float least) {
#if defined(__AVX512F__)
    return (V)_mm512_max_ps((__m512)splat(least), (__m512)x);
#else
    return x < splat(least) ? splat(least) : x;
#endif
}

// p 2^n for an integer n.
INLINE V scaled(V p, V n) {
#if defined(__AVX512F__)
    return (V)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return p * (V)((__builtin_convertvector(n, I) + 127) << 23);
#endif
}

// x = n ln 2 + r with |r| ≤ ln 2 / 2.
struct Reduced {
    V n, r;
    INLINE Reduced of(V x) {
        V n = x * splat(1.44269504f);
        n = (n + splat(12582912.0f)) - splat(12582912.0f);  // 1.5·2²³: rounds to the nearest integer
        return {n, x - n * splat(0.693359375f) + n * splat(2.12194440e-4f)};
    }
    // e^r − 1, by a polynomial with Cephes' coefficients; relative error about 1e-7.
    V power() const {
        V p = splat(1.9875691500e-4f);
        p = p * r + splat(1.3981999507e-3f);
        p = p * r + splat(8.3334519073e-3f);
        p = p * r + splat(4.1665795894e-2f);
        p = p * r + splat(1.6666665459e-1f);
        p = p * r + splat(5.0000001201e-1f);
        return p * r * r + r;
    }
};

// e^x for |x| ≤ 87.
INLINE V exp_small(V x) {
    const Reduced at = Reduced::of(x);
    return scaled(at.power() + splat(1.0f), at.n);
}

INLINE V clamp(V x, float most) { return at_least(at_most(x, most), -most); }

// 1 + e^(−x), clamped so that products of four stay finite; σ(x) is its reciprocal.
INLINE V sigmoid_denominator(V x) { return splat(1.0f) + exp_small(-clamp(x, 20.0f)); }
INLINE V sigmoid(V x) { return splat(1.0f) / sigmoid_denominator(x); }
INLINE V tanh_(V x) { return splat(2.0f) / sigmoid_denominator(x + x) - splat(1.0f); }

// The functions of a definition (cells/functions.py), each in the full range of float.

// e^x: 0 below the smallest number, infinity above the largest; in two steps, neither of which overflows early.
INLINE V exp_(V x) {
    x = at_least(at_most(x, 89.0f), -104.0f);
    const Reduced at = Reduced::of(x);
    const V half = (at.n * splat(0.5f) + splat(12582912.0f)) - splat(12582912.0f);
    return scaled(scaled(at.power() + splat(1.0f), half), at.n - half);
}

// e^x − 1 = 2^n (e^r − 1) + (2^n − 1), computed by halves to avoid 2^128; for n = 0 it is the polynomial.
INLINE V expm1_(V x) {
    x = at_least(at_most(x, 89.0f), -30.0f);
    const Reduced at = Reduced::of(x);
    const V half = scaled(splat(0.5f), at.n);  // 2^(n−1)
    return splat(2.0f) * (half * at.power() + (half - splat(0.5f)));
}

// log(1 + y) for 0 ≤ y ≤ 1: y times a minimax polynomial, relative error 5e-9.
INLINE V log1p_of_fraction(V y) {
    V p = splat(-3.2439089e-3f);
    p = p * y + splat(1.9850945e-2f);
    p = p * y + splat(-5.6958577e-2f);
    p = p * y + splat(1.0603560e-1f);
    p = p * y + splat(-1.5305538e-1f);
    p = p * y + splat(1.9675921e-1f);
    p = p * y + splat(-2.4954130e-1f);
    p = p * y + splat(3.3329962e-1f);
    p = p * y + splat(-4.9999902e-1f);
    p = p * y + splat(9.9999999e-1f);
    return y * p;
}

// e^−|x|, from which sigmoid, log_sigmoid and softplus are computed; e^−87 for |x| > 87.
INLINE V exp_of_size(V x) {
    const V size = x < splat(0.0f) ? -x : x;
    return exp_small(-at_most(size, 87.0f));
}

INLINE V softplus_(V x, V e) { return (x > splat(0.0f) ? x : x == x ? V{} : x) + log1p_of_fraction(e); }
INLINE V log_sigmoid_(V x, V e) { return (x < splat(0.0f) ? x : x == x ? V{} : x) - log1p_of_fraction(e); }
INLINE V sigmoid_(V x) { return sigmoid(x); }
INLINE V relu_(V x) { return x < splat(0.0f) ? splat(0.0f) : x; }
INLINE V is_positive_(V x) { return x > splat(0.0f) ? splat(1.0f) : splat(0.0f); }
INLINE V maximum_(V x, V y) { return x > y ? x : x == x ? y : x; }
INLINE V select_(V condition, V x, V y) { return condition > splat(0.0f) ? x : y; }
INLINE V sqrt_(V x) {
#if defined(__AVX512F__)
    return (V)_mm512_sqrt_ps((__m512)x);
#else
    for (int i = 0; i < L; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
}

// ── operands of products ────────────────────────────────────────────────────────

struct F32 {
    static constexpr long DEPTH = 1;  // values of k in a word
    static constexpr long GRAIN = 1;  // words are packed in multiples of this, the last ones zero
    INLINE V multiply_add(V sum, U a, U p) { return sum + (V)a * (V)p; }
    // Words of n contiguous values, at most L words.
    INLINE U along(const float* p, long n) { return (U)load(p, n); }
    // A word for each of the first n columns of rows p, p + row, …, of which `rows` exist.
    INLINE U across(const float* p, long, long, long n) { return (U)load(p, n); }
};

// Two bfloat16 in a word; values are rounded to nearest, ties to even.
struct Pairs {
    static constexpr long DEPTH = 2;
#if HAS_BF16
    INLINE U along(const float* p, long n) {
        return (U)_mm512_cvtne2ps_pbh((__m512)load(p + L, std::clamp<long>(n - L, 0, L)), (__m512)load(p, std::min<long>(L, n)));
    }
    INLINE U across(const float* p, long row, long rows, long n) {
        const V first = load(p, n), second = rows > 1 ? load(p + row, n) : V{};
        const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
        const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                                    22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        return (U)_mm512_permutexvar_epi16(interleave, halves);
    }
#else
    // bfloat16 in the lower half of each word.
    INLINE U rounded(V x) {
        const U bits = (U)x;
        return x == x ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : bits >> 16 | 64;
    }
    INLINE U along(const float* p, long n) {
        Word each[2 * L];
        store((float*)each, (V)rounded(load(p, std::min<long>(L, n))));
        store((float*)each + L, (V)rounded(load(p + L, std::clamp<long>(n - L, 0, L))));
        U words;
        for (int i = 0; i < L; ++i) words[i] = each[2 * i] | each[2 * i + 1] << 16;
        return words;
    }
    INLINE U across(const float* p, long row, long rows, long n) {
        return rounded(load(p, n)) | rounded(rows > 1 ? load(p + row, n) : V{}) << 16;
    }
#endif
};

#if HAS_BF16
// Two products and their sum at once, added to a float.
struct BF16 : Pairs {
    static constexpr long GRAIN = 1;
    INLINE V multiply_add(V sum, U a, U p) {
        return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)p, (__m512bh)a);
    }
};
#endif

// The operands of tiles (tiles.h): a tile is L words deep.
struct TILES : Pairs {
    static constexpr long GRAIN = L;
};

// Number of words for n values.
template <class E>
constexpr long words(long n) { return (n + E::DEPTH * E::GRAIN - 1) / (E::DEPTH * E::GRAIN) * E::GRAIN; }

template <class E>
constexpr bool ON_TILES = E::GRAIN > 1;
