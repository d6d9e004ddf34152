// Vectors of floats in the compiler's own vector types, the elementwise functions, and what products multiply.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

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
constexpr int TILE = 24;   // accumulators that fit the registers, beside operands
#elif defined(__AVX2__)
constexpr int L = 8;
constexpr int TILE = 12;
#else
constexpr int L = 4;
constexpr int TILE = 12;
#endif

typedef uint32_t Word;  // what products read: a float, or two bfloat16 of neighbouring k, the first in the low half
typedef float V __attribute__((vector_size(L * 4), aligned(4), may_alias));
typedef int32_t I __attribute__((vector_size(L * 4), aligned(4), may_alias));
typedef Word U __attribute__((vector_size(L * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE V splat(float x) { return V{} + x; }

// The first n lanes, zeros beyond.
INLINE V load(const float* p, long n = L) {
    if (__builtin_expect(n == L, 1)) return *(const V*)p;
#if defined(__AVX512F__)
    return (V)_mm512_maskz_loadu_ps((1u << n) - 1u, p);
#else
    V v = {};
    std::memcpy(&v, p, n * sizeof(float));
    return v;
#endif
}

INLINE void store(float* p, V v, long n = L) {
    if (__builtin_expect(n == L, 1)) *(V*)p = v;
#if defined(__AVX512F__)
    else _mm512_mask_storeu_ps(p, (1u << n) - 1u, (__m512)v);
#else
    else std::memcpy(p, &v, n * sizeof(float));
#endif
}

// The same, and ask for the vector after it: the pieces of a row are read one panel of weights after the other.
INLINE V load_ahead(const float* p, long n) {
    __builtin_prefetch(p + L);
    return load(p, n);
}

// ── elementwise functions; NaN in, NaN out ──────────────────────────────────────

// e^x for |x| ≤ 40: 2^n times a polynomial on ±ln 2 / 2 (Cephes' coefficients), relative error about 1e-7.
INLINE V exp_small(V x) {
    V n = x * splat(1.44269504f);
    n = (n + splat(12582912.0f)) - splat(12582912.0f);  // 1.5·2²³: rounds to the nearest integer
    V r = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
    V p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * r * r + r + splat(1.0f);
    I bits = (__builtin_convertvector(n, I) + 127) << 23;
    return p * (V)bits;
}

INLINE V clamp(V x, float most) {
    x = x > splat(most) ? splat(most) : x;
    return x < splat(-most) ? splat(-most) : x;
}

// 1 + e^(−x), clamped so that products of four stay finite; σ(x) is its reciprocal.
INLINE V sigmoid_denominator(V x) { return splat(1.0f) + exp_small(-clamp(x, 20.0f)); }
INLINE V sigmoid(V x) { return splat(1.0f) / sigmoid_denominator(x); }
INLINE V tanh_(V x) { return splat(2.0f) / sigmoid_denominator(x + x) - splat(1.0f); }

// The functions of a definition (cells/functions.py), each in the full range of float.

// e^x: 0 below the smallest number, infinity above the largest.
INLINE V exp_(V x) {
    x = x > splat(89.0f) ? splat(89.0f) : x;
    x = x < splat(-104.0f) ? splat(-104.0f) : x;
    const V n = (x * splat(1.44269504f) + splat(12582912.0f)) - splat(12582912.0f);
    const V rest = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);  // n ln 2 in two parts
    const I whole = __builtin_convertvector(n, I), half = whole >> 1;  // 2^n as two factors, neither of which overflows
    return exp_small(rest) * (V)((half + 127) << 23) * (V)((whole - half + 127) << 23);
}

// e^x − 1 = 2^n (e^r − 1) + (2^n − 1), with e^r − 1 from its own polynomial; n = 0 leaves it as it is.
INLINE V expm1_(V x) {
    x = x > splat(89.0f) ? splat(89.0f) : x;
    x = x < splat(-30.0f) ? splat(-30.0f) : x;
    const V n = (x * splat(1.44269504f) + splat(12582912.0f)) - splat(12582912.0f);
    const V r = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
    V p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * r * r + r;
    const V half = (V)((__builtin_convertvector(n, I) + 126) << 23);  // 2^(n−1)
    return splat(2.0f) * (half * p + (half - splat(0.5f)));
}

// log(1 + y) for 0 ≤ y ≤ 1: 2 artanh(s), s = y / (2 + y) ≤ 1/3, by its series.
INLINE V log1p_of_fraction(V y) {
    const V s = y / (splat(2.0f) + y), square = s * s;
    V p = splat(1.0f / 15);
    p = p * square + splat(1.0f / 13);
    p = p * square + splat(1.0f / 11);
    p = p * square + splat(1.0f / 9);
    p = p * square + splat(1.0f / 7);
    p = p * square + splat(1.0f / 5);
    p = p * square + splat(1.0f / 3);
    return splat(2.0f) * (s + s * square * p);
}

INLINE V sigmoid_(V x) { return sigmoid(x); }
INLINE V softplus_(V x) {
    const V size = x < splat(0.0f) ? -x : x;
    return (x > splat(0.0f) ? x : x == x ? V{} : x) + log1p_of_fraction(exp_(-size));
}
INLINE V log_sigmoid_(V x) { return -softplus_(-x); }
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

// ── what products multiply ──────────────────────────────────────────────────────

struct F32 {
    static constexpr long DEPTH = 1;  // values of k in a word
    INLINE V multiply_add(V sum, U a, U p) { return sum + (V)a * (V)p; }
    // Words of n values that lie side by side, at most L words.
    INLINE U along(const float* p, long n) { return (U)load(p, n); }
    // A word for each of the first n columns of rows p, p + row, …, of which `rows` are there.
    INLINE U across(const float* p, long, long, long n) { return (U)load(p, n); }
};

#if HAS_BF16
// Two products and their sum at once, added to a float; values are rounded to nearest, ties to even.
struct BF16 {
    static constexpr long DEPTH = 2;
    INLINE V multiply_add(V sum, U a, U p) {
        return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)p, (__m512bh)a);
    }
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
};
#endif

// Words that hold n values.
template <class E>
constexpr long words(long n) { return (n + E::DEPTH - 1) / E::DEPTH; }
