// The recurrence over a whole sequence and the large products around it, for CPUs with wide vectors.
//
// Letters as in cells/base.py: T steps, B batch, H hidden, G gates; row-major float32, time-major [T, B, ·].
//
// - The batch is split between threads once; each walks all T steps on its rows, so there is no barrier in a step.
// - weight_hh is packed into panels of one block of units, all its gates side by side: a tile's accumulators then
//   hold every gate of the same units, and the cell's mathematics run on them before they leave the registers.
// - One register-blocked product, `accumulate`, serves the time loop and the matrix products.
//
// Compiled by native.py with the flags of the machine at hand; every result is held to portable.py by the tests.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(_OPENMP)
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
#endif

#if defined(__AVX512F__)
constexpr int L = 16;   // lanes of a vector
constexpr int MAX_ROWS = 24;  // accumulators that fit the registers, beside operands
#elif defined(__AVX2__)
constexpr int L = 8;
constexpr int MAX_ROWS = 12;
#else
constexpr int L = 4;
constexpr int MAX_ROWS = 12;
#endif

typedef float V __attribute__((vector_size(L * sizeof(float)), aligned(4), may_alias));
typedef int32_t I __attribute__((vector_size(L * sizeof(int32_t)), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE V splat(float x) { return V{} + x; }

INLINE V load(const float* p, int n = L) {
    if (n == L) return *(const V*)p;
    V v = {};
    std::memcpy(&v, p, n * sizeof(float));
    return v;
}

INLINE void store(float* p, V v, int n = L) {
    if (n == L) *(V*)p = v;
    else std::memcpy(p, &v, n * sizeof(float));
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

// ── the product ─────────────────────────────────────────────────────────────────

// acc[r][v] += Σ_k A(r, k) P(k, v): A strided, P packed as [K][VECS·L].
template <int R, int VECS>
INLINE void accumulate(V (&acc)[R][VECS], const float* A, long row, long column, const float* P, long K) {
    for (long k = 0; k < K; ++k, A += column, P += VECS * L) {
        V p[VECS];
#pragma GCC unroll 8
        for (int v = 0; v < VECS; ++v) p[v] = *(const V*)(P + v * L);
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r) {
            V a = splat(A[r * row]);
#pragma GCC unroll 8
            for (int v = 0; v < VECS; ++v) acc[r][v] += a * p[v];
        }
    }
}

// Call f.template operator()<R>(first) for tiles of at most MAX rows that cover `rows`.
template <int MAX, class F>
INLINE void tiles(long rows, F f) {
    long r = 0;
    for (; r + MAX <= rows; r += MAX) f.template operator()<MAX>(r);
    switch (rows - r) {
#define CASE(n) case n: if constexpr (n < MAX) f.template operator()<n>(r); break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11)
#undef CASE
    }
}

struct Range { long first, last; };

// The part of [0, n) that falls to thread `i` of `count`.
INLINE Range part(long n, long i, long count) { return {n * i / count, n * (i + 1) / count}; }

// Pack the columns of M [K, N] (element (k, n) at k·row + n·column) into panels [N / width][K][width], zeros at the end.
static void pack(const float* M, long row, long column, long K, long N, long width, float* panels, long i, long count) {
    Range mine = part((N + width - 1) / width, i, count);
    for (long p = mine.first; p < mine.last; ++p) {
        float* out = panels + p * K * width;
        const long n0 = p * width, n = std::min(width, N - n0);
        if (column == 1) {
            for (long k = 0; k < K; ++k, out += width) {
                std::memcpy(out, M + k * row + n0, n * sizeof(float));
                std::fill(out + n, out + width, 0.0f);
            }
        } else {
            for (long k0 = 0; k0 < K; k0 += 16) {  // a cache line of k at a time
                const long k1 = std::min(k0 + 16, K);
                for (long j = 0; j < width; ++j)
                    for (long k = k0; k < k1; ++k) out[k * width + j] = j < n ? M[k * row + (n0 + j) * column] : 0.0f;
            }
        }
    }
}

constexpr int GEMM_VECS = 4;
constexpr int GEMM_ROWS = MAX_ROWS / GEMM_VECS;
constexpr long GEMM_WIDTH = GEMM_VECS * L;
constexpr long GEMM_DEPTH = 512;  // of a packed block: a panel of it stays in the second-level cache

extern "C" long tuirnn_lanes() { return L; }

// Floats of scratch that tuirnn_product needs.
extern "C" long tuirnn_product_scratch(long N, long K) {
    return (N + GEMM_WIDTH - 1) / GEMM_WIDTH * GEMM_WIDTH * std::min(K, GEMM_DEPTH);
}

// C [M, N] = A B (+ bias [N], where given); A(m, k) at m·a_row + k·a_column, B(k, n) at k·b_row + n·b_column.
extern "C" void tuirnn_product(long M, long N, long K, const float* A, long a_row, long a_column, const float* B,
                               long b_row, long b_column, const float* bias, float* C, float* scratch, int threads) {
#pragma omp parallel num_threads(threads)
    {
        const long me = omp_get_thread_num();
        const Range rows = part(M, me, threads);
        for (long k0 = 0; k0 < K; k0 += GEMM_DEPTH) {
            const long depth = std::min(GEMM_DEPTH, K - k0);
            pack(B + k0 * b_row, b_row, b_column, depth, N, GEMM_WIDTH, scratch, me, threads);
#pragma omp barrier
            for (long n0 = 0; n0 < N; n0 += GEMM_WIDTH) {
                const float* P = scratch + n0 * depth;
                tiles<GEMM_ROWS>(rows.last - rows.first, [&]<int R>(long r0) {
                    const long m = rows.first + r0;
                    V acc[R][GEMM_VECS] = {};
                    accumulate<R, GEMM_VECS>(acc, A + m * a_row + k0 * a_column, a_row, a_column, P, depth);
                    for (int r = 0; r < R; ++r)
                        for (int v = 0; v < GEMM_VECS; ++v) {
                            const long n = n0 + v * L, valid = std::min<long>(L, N - n);
                            if (valid <= 0) break;
                            float* out = C + (m + r) * N + n;
                            V sum = acc[r][v];
                            if (k0) sum += load(out, valid);
                            else if (bias) sum += load(bias + n, valid);
                            store(out, sum, valid);
                        }
                });
            }
#pragma omp barrier
        }
    }
}

// ── the cells ───────────────────────────────────────────────────────────────────

enum Kind { RNN_TANH = 0, RNN_RELU = 1, LSTM = 2, GRU_AFTER = 3 };

struct Sequence {
    long T, B, H;
    float *a, *h, *c, *saved;  // [T, B, G·H], [T+1, B, H], the same for the LSTM, [T, B, H] for the GRU
    const float *bias;         // bias_hh [G·H], used by the GRU
};

// One tile of one step: the accumulators hold gx + gh of R rows and one block of units; finish the cell on them.
template <Kind kind, int R, int VECS>
INLINE void finish(V (&acc)[R][VECS], const Sequence& s, long t, long b, long u, long n) {
    const long H = s.H;
    for (int r = 0; r < R; ++r) {
        const long row = t * s.B + b + r;
        float* h_next = s.h + (row + s.B) * H + u;
        if constexpr (kind == LSTM) {
            float* a = s.a + row * 4 * H + u;
            V di = sigmoid_denominator(acc[r][0]), df = sigmoid_denominator(acc[r][1]);
            V dg = sigmoid_denominator(acc[r][2] + acc[r][2]), d_o = sigmoid_denominator(acc[r][3]);
            V left = di * df, right = dg * d_o, once = splat(1.0f) / (left * right);  // four reciprocals in one division
            V by_left = once * right, by_right = once * left;
            V i = by_left * df, f = by_left * di, g = splat(2.0f) * by_right * d_o - splat(1.0f), o = by_right * dg;
            V c = f * load(s.c + row * H + u, n) + i * g;
            store(a, i, n), store(a + H, f, n), store(a + 2 * H, g, n), store(a + 3 * H, o, n);
            store(s.c + (row + s.B) * H + u, c, n);
            store(h_next, o * tanh_(c), n);
        } else if constexpr (kind == GRU_AFTER) {
            float* a = s.a + row * 3 * H + u;
            V rd = sigmoid_denominator(acc[r][0]), zd = sigmoid_denominator(acc[r][1]), once = splat(1.0f) / (rd * zd);
            V rr = once * zd, z = once * rd, q = acc[r][2];
            V nn = tanh_(load(a + 2 * H, n) + rr * q);
            store(a, rr, n), store(a + H, z, n), store(a + 2 * H, nn, n);
            store(s.saved + row * H + u, q, n);
            store(h_next, nn + z * (load(s.h + row * H + u, n) - nn), n);
        }
    }
}

template <Kind kind>
static void forward(const Sequence& s, const float* panels, long b0, long b1) {
    constexpr int G = kind == LSTM ? 4 : kind == GRU_AFTER ? 3 : 1;
    constexpr int VECS = G == 1 ? 4 : G;               // an RNN's panel holds four blocks of its one gate
    constexpr long UNITS = G == 1 ? VECS * L : L;      // units in a panel
    constexpr int ROWS = MAX_ROWS / VECS;
    const long H = s.H;
    for (long t = 0; t < s.T; ++t)
        for (long u = 0; u < H; u += UNITS) {
            const float* P = panels + u / UNITS * H * VECS * L;
            tiles<ROWS>(b1 - b0, [&]<int R>(long r0) {
                const long b = b0 + r0, row = t * s.B + b;
                V acc[R][VECS];
                for (int r = 0; r < R; ++r)
                    for (int v = 0; v < VECS; ++v) {
                        const long unit = G == 1 ? u + v * L : u, n = std::min<long>(L, H - unit);
                        if (n <= 0) { acc[r][v] = V{}; continue; }
                        const float* gx = s.a + (row + r) * G * H + (G == 1 ? 0 : v * H) + unit;
                        if constexpr (kind == GRU_AFTER) {
                            acc[r][v] = load(s.bias + v * H + unit, n);
                            if (v < 2) acc[r][v] += load(gx, n);
                        } else acc[r][v] = load(gx, n);
                    }
                accumulate<R, VECS>(acc, s.h + row * H, H, 1, P, H);
                if constexpr (G == 1) {
                    for (int r = 0; r < R; ++r)
                        for (int v = 0; v < VECS; ++v) {
                            const long unit = u + v * L, n = std::min<long>(L, H - unit);
                            if (n <= 0) break;
                            V x = acc[r][v];
                            V y = kind == RNN_TANH ? tanh_(x) : (x < splat(0.0f) ? splat(0.0f) : x);
                            store(s.h + (row + r + s.B) * H + unit, y, n);
                        }
                } else finish<kind, R, VECS>(acc, s, t, b, u, std::min<long>(L, H - u));
            });
        }
}

// Gradients: dh_all [T, B, H] in; dgh [T, B, G·H] and, for the GRU, dgx [T, B, 3·H] out; dh, dc [B, H] run back in time.
struct Gradients {
    const float* dh_all;
    float *dgh, *dgx, *dh, *dc;
    double* squares;  // [T] of this thread: Σ dh², for the probes
};

// The elementwise half of one backward step on row `row` of the sequence, units u..u+n.
template <Kind kind>
INLINE V step_backward(const Sequence& s, const Gradients& d, long row, long b, long u, long n) {
    const long H = s.H;
    const V one = splat(1.0f);
    V dh = load(d.dh + b * H + u, n) + load(d.dh_all + row * H + u, n);
    if constexpr (kind == RNN_TANH || kind == RNN_RELU) {
        V h = load(s.h + (row + s.B) * H + u, n);
        V da = kind == RNN_TANH ? dh * (one - h * h) : (h > splat(0.0f) ? dh : dh * splat(0.0f));
        store(d.dgh + row * H + u, da, n);
        store(d.dh + b * H + u, V{}, n);
    } else if constexpr (kind == LSTM) {
        const float* a = s.a + row * 4 * H + u;
        float* dgh = d.dgh + row * 4 * H + u;
        V i = load(a, n), f = load(a + H, n), g = load(a + 2 * H, n), o = load(a + 3 * H, n);
        V tanh_c = tanh_(load(s.c + (row + s.B) * H + u, n));
        V dc = load(d.dc + b * H + u, n) + dh * o * (one - tanh_c * tanh_c);
        store(dgh, dc * g * i * (one - i), n);
        store(dgh + H, dc * load(s.c + row * H + u, n) * f * (one - f), n);
        store(dgh + 2 * H, dc * i * (one - g * g), n);
        store(dgh + 3 * H, dh * tanh_c * o * (one - o), n);
        store(d.dc + b * H + u, dc * f, n);
        store(d.dh + b * H + u, V{}, n);
    } else {
        const float* a = s.a + row * 3 * H + u;
        float *dgh = d.dgh + row * 3 * H + u, *dgx = d.dgx + row * 3 * H + u;
        V r = load(a, n), z = load(a + H, n), nn = load(a + 2 * H, n), q = load(s.saved + row * H + u, n);
        V sn = dh * (one - z) * (one - nn * nn), dq = sn * r, dr = dq * q * (one - r);
        V dz = dh * (load(s.h + row * H + u, n) - nn) * z * (one - z);
        store(dgh, dr, n), store(dgh + H, dz, n), store(dgh + 2 * H, dq, n);
        store(dgx, dr, n), store(dgx + H, dz, n), store(dgx + 2 * H, sn, n);
        store(d.dh + b * H + u, dh * z, n);
    }
    return dh;
}

template <Kind kind>
static void backward(const Sequence& s, const Gradients& d, const float* panels, long b0, long b1) {
    constexpr long G = kind == LSTM ? 4 : kind == GRU_AFTER ? 3 : 1;
    const long H = s.H, K = G * H;
    for (long t = s.T - 1; t >= 0; --t) {
        double squares = 0;
        for (long b = b0; b < b1; ++b) {
            V sum = {};
            for (long u = 0; u < H; u += L) {
                V dh = step_backward<kind>(s, d, t * s.B + b, b, u, std::min<long>(L, H - u));
                sum += dh * dh;
            }
            for (int v = 0; v < L; ++v) squares += sum[v];
        }
        d.squares[t] = squares;
        for (long u = 0; u < H; u += GEMM_WIDTH)  // dh += dgh weight_hh
            tiles<GEMM_ROWS>(b1 - b0, [&]<int R>(long r0) {
                const long b = b0 + r0;
                V acc[R][GEMM_VECS] = {};
                accumulate<R, GEMM_VECS>(acc, d.dgh + (t * s.B + b) * K, K, 1, panels + u * K, K);
                for (int r = 0; r < R; ++r)
                    for (int v = 0; v < GEMM_VECS; ++v) {
                        const long unit = u + v * L, n = std::min<long>(L, H - unit);
                        if (n <= 0) break;
                        float* out = d.dh + (b + r) * H + unit;
                        store(out, load(out, n) + acc[r][v], n);
                    }
            });
    }
}

static long gates(int kind) { return kind == LSTM ? 4 : kind == GRU_AFTER ? 3 : 1; }

// Floats of scratch that either direction needs for its packed weights.
extern "C" long tuirnn_recurrence_scratch(int kind, long H) {
    return (H + GEMM_WIDTH - 1) / GEMM_WIDTH * GEMM_WIDTH * H * gates(kind);
}

extern "C" void tuirnn_forward(int kind, long T, long B, long H, float* a, float* h, float* c, float* saved,
                               const float* weight_hh, const float* bias_hh, float* scratch, int threads) {
    const Sequence s = {T, B, H, a, h, c, saved, bias_hh};
    const long G = gates(kind), vecs = G == 1 ? 4 : G, units = G == 1 ? 4 * L : L;
#pragma omp parallel num_threads(threads)
    {
        const long me = omp_get_thread_num();
        const Range blocks = part((H + units - 1) / units, me, threads);
        for (long p = blocks.first; p < blocks.last; ++p)  // panel p: [H][vecs][L], gates of the same units together
            for (long v = 0; v < vecs; ++v) {
                const long unit = p * units + (G == 1 ? v * L : 0);
                for (long lane = 0; lane < L; ++lane) {
                    float* out = scratch + p * H * vecs * L + v * L + lane;
                    const float* W = weight_hh + ((G == 1 ? 0 : v * H) + unit + lane) * H;
                    for (long k = 0; k < H; ++k) out[k * vecs * L] = unit + lane < H ? W[k] : 0.0f;
                }
            }
#pragma omp barrier
        const Range mine = part(B, me, threads);
        if (kind == LSTM) forward<LSTM>(s, scratch, mine.first, mine.last);
        else if (kind == GRU_AFTER) forward<GRU_AFTER>(s, scratch, mine.first, mine.last);
        else if (kind == RNN_TANH) forward<RNN_TANH>(s, scratch, mine.first, mine.last);
        else forward<RNN_RELU>(s, scratch, mine.first, mine.last);
    }
}

extern "C" void tuirnn_backward(int kind, long T, long B, long H, float* a, float* h, float* c, float* saved,
                                const float* weight_hh, const float* dh_all, float* dgh, float* dgx, float* dh,
                                float* dc, double* squares, float* scratch, int threads) {
    const Sequence s = {T, B, H, a, h, c, saved, nullptr};
#pragma omp parallel num_threads(threads)
    {
        const long me = omp_get_thread_num();
        pack(weight_hh, H, 1, gates(kind) * H, H, GEMM_WIDTH, scratch, me, threads);
#pragma omp barrier
        const Range mine = part(B, me, threads);
        const Gradients d = {dh_all, dgh, dgx, dh, dc, squares + me * T};
        if (kind == LSTM) backward<LSTM>(s, d, scratch, mine.first, mine.last);
        else if (kind == GRU_AFTER) backward<GRU_AFTER>(s, d, scratch, mine.first, mine.last);
        else if (kind == RNN_TANH) backward<RNN_TANH>(s, d, scratch, mine.first, mine.last);
        else backward<RNN_RELU>(s, d, scratch, mine.first, mine.last);
    }
}
