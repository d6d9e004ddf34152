// The time loops of the cells. Letters as in cells/base.py: T steps, B batch, H hidden, G gates; float32, [T, B, ·].
//
// - The batch is split between threads once; each walks all T steps on its rows, so there is no barrier in a step. Where
//   there are too few rows for that, teams of threads split the units of the same rows, and wait for each other.
// - weight_hh is packed into panels whose columns are one block of units with all its gates side by side: a tile of
//   accumulators then holds every gate of the same units, and the cell's mathematics run on it in the registers.

#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "products.h"

enum Kind { RNN_TANH = 0, RNN_RELU = 1, LSTM = 2, GRU_AFTER = 3, GRU_BEFORE = 4 };

struct Sequence {
    long T, B, H;
    float *a, *h, *c, *saved;  // [T, B, G·H], [T+1, B, H], the same for the LSTM, [T, B, H] for the GRU with reset after
    const float* weight;       // weight_hh [G·H, H]
    const float* bias;         // bias_hh [G·H], used by the GRU with reset after
};

static long gates(int kind) { return kind == LSTM ? 4 : kind == RNN_TANH || kind == RNN_RELU ? 1 : 3; }

// How often threads have come to the end of what the others wait for.
struct alignas(64) Counter { std::atomic<long> arrived{0}; };

// The threads of a call, and which of them this is.
struct Crew {
    long me, threads;
    Counter* counters;  // one for each thread, zero
};

constexpr long GRAIN = 4 * L;       // units that stay together
constexpr long FEWEST_ROWS = 16;    // of a thread: with fewer it waits for the weights more than it computes
constexpr int SPINS = 2000;

// What of every step is a thread's: rows of the batch and, where these are few, a part of the units of its team's rows.
struct Share {
    Range rows, units;
    long team;                // threads with the same rows
    std::atomic<long>* arrived;
    long awaited = 0;

    Share(const Sequence& s, const Crew& crew) {
        const long teams = std::clamp<long>(s.B / FEWEST_ROWS, 1, crew.threads);
        long mine = 0;
        while (part(crew.threads, mine, teams).last <= crew.me) ++mine;
        const Range members = part(crew.threads, mine, teams);
        team = members.last - members.first;
        rows = part(s.B, mine, teams);
        units = part(s.H, crew.me - members.first, team, GRAIN);
        arrived = &crew.counters[mine].arrived;
    }
    long count() const { return rows.last - rows.first; }

    // Wait until the team has written what each of it will read. A thread whose core is taken lets the others wait no
    // longer than it is away: they give up theirs.
    void wait() {
        if (team == 1) return;
        awaited += team;
        arrived->fetch_add(1, std::memory_order_acq_rel);
        for (int spin = 0; arrived->load(std::memory_order_acquire) < awaited; ++spin)
            if (spin > SPINS) std::this_thread::yield();
    }
};

// A matrix [K, blocks of units · VECS] packed for products with the rows of a step.
//
// Panel p has VECS blocks of L columns: those of `gates` gates, H apart, for the units p·span … .
template <class E, int VECS>
struct Panels {
    const Word* packed;
    long K, H;
    int gates;

    static long span(int gates) { return VECS / gates * L; }
    static long count(long H, int gates) { return (H + span(gates) - 1) / span(gates); }
    static long size(long K, long H, int gates) { return count(H, gates) * words<E>(K) * VECS * L; }

    // This thread's part.
    static void pack(const Matrix& M, long K, long H, int gates, Word* out, const Crew& crew) {
        const Range mine = part(count(H, gates), crew.me, crew.threads);
        for (long p = mine.first; p < mine.last; ++p)
            for (int v = 0; v < VECS; ++v) {
                const long unit = p * span(gates) + v / gates * L, n = std::clamp<long>(H - unit, 0, L);
                pack_columns<E>(Matrix::from(M, 0, n ? v % gates * H + unit : 0), K, n,
                                out + p * words<E>(K) * VECS * L + v * L, VECS * L);
            }
    }

    // For all rows and units of a share: sums of A P, which begin as `first(r, v, unit, n)`, go to `finish(r, unit, n,
    // sums)` with the `gates` sums of units unit … unit + n.
    template <int GATES, class First, class Finish>
    INLINE void multiply(const Panels& P, const Word* A, long row, const Share& share, First first, Finish finish) {
        const long deep = words<E>(P.K);
        for (long u = share.units.first, p = u / span(GATES); u < share.units.last; ++p, u += span(GATES))
            tiles<TILE / VECS>(share.count(), [&]<int R>(long r0) {
                V sum[R][VECS];
#pragma GCC unroll 24
                for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                    for (int v = 0; v < VECS; ++v) {
                        const long unit = u + v / GATES * L;
                        sum[r][v] = first(r0 + r, v % GATES, unit, std::clamp<long>(P.H - unit, 0, L));
                    }
                accumulate<E>(sum, A + r0 * row, row, 1, P.packed + p * deep * VECS * L, deep);
                for (int r = 0; r < R; ++r)
                    for (int v = 0; v < VECS; v += GATES) {
                        const long unit = u + v / GATES * L;
                        if (unit < P.H) finish(r0 + r, unit, std::min<long>(L, P.H - unit), &sum[r][v]);
                    }
            });
    }
};

// Rows of floats [rows, K] as the words that a product reads; floats are read where they are.
template <class E>
struct Operand {
    std::vector<Word> buffer;
    long row = 0;

    const Word* of(const float* from, long stride, long rows, long K) {
        if constexpr (E::DEPTH == 1) {
            row = stride;
            return (const Word*)from;
        } else {
            row = words<E>(K);
            buffer.resize(rows * row);
            pack_rows<E>({from, stride, 1}, rows, K, buffer.data(), row);
            return buffer.data();
        }
    }
};

// Panels of the two directions: forward, the columns are weight_hh's rows; backward, its columns.
constexpr int WIDE = 4, GRU_WIDE = 3, PAIR = 2;

template <class E, Kind kind>
void forward(const Sequence& s, Word* scratch, const Crew& crew) {
    const long H = s.H;
    const Matrix W = {s.weight, 1, H};  // element (k, gate row)
    Word* const second = scratch + Panels<E, PAIR>::size(H, H, 2);
    float* const products = (float*)(second + Panels<E, WIDE>::size(H, H, 1));  // r h [B, H], of the GRU with reset before
    if constexpr (kind == LSTM) Panels<E, WIDE>::pack(W, H, H, 4, scratch, crew);
    else if constexpr (kind == GRU_AFTER) Panels<E, GRU_WIDE>::pack(W, H, H, 3, scratch, crew);
    else if constexpr (kind == GRU_BEFORE) {
        Panels<E, PAIR>::pack(W, H, H, 2, scratch, crew);
        Panels<E, WIDE>::pack(Matrix::from(W, 0, 2 * H), H, H, 1, second, crew);
    } else Panels<E, WIDE>::pack(W, H, H, 1, scratch, crew);
#pragma omp barrier
    Share mine(s, crew);
    const long rows = mine.count();
    float* const rh = products + mine.rows.first * H;
    Operand<E> operand, gated;
    for (long t = 0; t < s.T; ++t) {
        const long at = t * s.B + mine.rows.first;
        float* const a = s.a + at * gates(kind) * H;
        const float* const h = s.h + at * H;
        float* const h_next = s.h + (at + s.B) * H;
        const Word* const A = operand.of(h, H, rows, H);
        if constexpr (kind == LSTM) {
            const float* const c = s.c + at * H;
            float* const c_next = s.c + (at + s.B) * H;
            Panels<E, WIDE>::template multiply<4>(
                {scratch, H, H, 4}, A, operand.row, mine,
                [&](long r, int v, long u, long n) { return load_ahead(a + (r * 4 + v) * H + u, n); },
                [&](long r, long u, long n, const V* sum) {
                    const V di = sigmoid_denominator(sum[0]), df = sigmoid_denominator(sum[1]);
                    const V dg = sigmoid_denominator(sum[2] + sum[2]), d_o = sigmoid_denominator(sum[3]);
                    const V left = di * df, right = dg * d_o, once = splat(1.0f) / (left * right);  // one division for four
                    const V by_left = once * right, by_right = once * left;
                    const V i = by_left * df, f = by_left * di, o = by_right * dg;
                    const V g = splat(2.0f) * by_right * d_o - splat(1.0f);
                    const V cell = f * load(c + r * H + u, n) + i * g;
                    float* const out = a + r * 4 * H + u;
                    store(out, i, n), store(out + H, f, n), store(out + 2 * H, g, n), store(out + 3 * H, o, n);
                    store(c_next + r * H + u, cell, n);
                    store(h_next + r * H + u, o * tanh_(cell), n);
                });
        } else if constexpr (kind == GRU_AFTER) {
            float* const saved = s.saved + at * H;
            Panels<E, GRU_WIDE>::template multiply<3>(
                {scratch, H, H, 3}, A, operand.row, mine,
                [&](long r, int v, long u, long n) {
                    const V bias = load(s.bias + v * H + u, n);
                    const V gx = load_ahead(a + (r * 3 + v) * H + u, n);
                    return v == 2 ? bias : bias + gx;
                },
                [&](long r, long u, long n, const V* sum) {
                    float* const out = a + r * 3 * H + u;
                    const V rd = sigmoid_denominator(sum[0]), zd = sigmoid_denominator(sum[1]);
                    const V once = splat(1.0f) / (rd * zd), reset = once * zd, z = once * rd, q = sum[2];
                    const V nn = tanh_(load(out + 2 * H, n) + reset * q);
                    store(out, reset, n), store(out + H, z, n), store(out + 2 * H, nn, n);
                    store(saved + r * H + u, q, n);
                    store(h_next + r * H + u, nn + z * (load(h + r * H + u, n) - nn), n);
                });
        } else if constexpr (kind == GRU_BEFORE) {
            Panels<E, PAIR>::template multiply<2>(
                {scratch, H, H, 2}, A, operand.row, mine,
                [&](long r, int v, long u, long n) { return load_ahead(a + (r * 3 + v) * H + u, n); },
                [&](long r, long u, long n, const V* sum) {
                    float* const out = a + r * 3 * H + u;
                    const V rd = sigmoid_denominator(sum[0]), zd = sigmoid_denominator(sum[1]);
                    const V once = splat(1.0f) / (rd * zd), reset = once * zd;
                    store(out, reset, n), store(out + H, once * rd, n);
                    store(rh + r * H + u, reset * load(h + r * H + u, n), n);
                });
            mine.wait();
            const Word* const RH = gated.of(rh, H, rows, H);
            Panels<E, WIDE>::template multiply<1>(
                {second, H, H, 1}, RH, gated.row, mine,
                [&](long r, int, long u, long n) { return load(a + (r * 3 + 2) * H + u, n); },
                [&](long r, long u, long n, const V* sum) {
                    float* const out = a + r * 3 * H + u;
                    const V nn = tanh_(sum[0]), z = load(out + H, n);
                    store(out + 2 * H, nn, n);
                    store(h_next + r * H + u, nn + z * (load(h + r * H + u, n) - nn), n);
                });
        } else {
            Panels<E, WIDE>::template multiply<1>(
                {scratch, H, H, 1}, A, operand.row, mine,
                [&](long r, int, long u, long n) { return load_ahead(a + r * H + u, n); },
                [&](long r, long u, long n, const V* sum) {
                    const V x = sum[0];
                    store(h_next + r * H + u, kind == RNN_TANH ? tanh_(x) : x < splat(0.0f) ? splat(0.0f) : x, n);
                });
        }
        mine.wait();
    }
}

// Gradients: dh_all [T, B, H] in; dgh [T, B, G·H] and, for the GRU with reset after, dgx [T, B, 3·H] out; dh, dc [B, H]
// run back in time.
struct Gradients {
    const float* dh_all;
    float *dgh, *dgx, *dh, *dc;
    double* squares;  // [T] of this thread: Σ dh², for the probes
};

// The elementwise part of one backward step that comes before the product, on units u … u + n of row `row` of the
// sequence and `b` of the batch; leaves in d.dh what reaches h beside the product, and returns the whole δh'.
template <Kind kind>
INLINE V step_backward(const Sequence& s, const Gradients& d, long row, long b, long u, long n) {
    const long H = s.H;
    const V one = splat(1.0f);
    const V dh = load(d.dh + b * H + u, n) + load(d.dh_all + row * H + u, n);
    if constexpr (kind == RNN_TANH || kind == RNN_RELU) {
        const V h = load(s.h + (row + s.B) * H + u, n);
        store(d.dgh + row * H + u, kind == RNN_TANH ? dh * (one - h * h) : h > splat(0.0f) ? dh : dh * splat(0.0f), n);
        store(d.dh + b * H + u, V{}, n);
    } else if constexpr (kind == LSTM) {
        const float* const a = s.a + row * 4 * H + u;
        float* const dgh = d.dgh + row * 4 * H + u;
        const V i = load(a, n), f = load(a + H, n), g = load(a + 2 * H, n), o = load(a + 3 * H, n);
        const V tanh_c = tanh_(load(s.c + (row + s.B) * H + u, n));
        const V dc = load(d.dc + b * H + u, n) + dh * o * (one - tanh_c * tanh_c);
        store(dgh, dc * g * i * (one - i), n);
        store(dgh + H, dc * load(s.c + row * H + u, n) * f * (one - f), n);
        store(dgh + 2 * H, dc * i * (one - g * g), n);
        store(dgh + 3 * H, dh * tanh_c * o * (one - o), n);
        store(d.dc + b * H + u, dc * f, n);
        store(d.dh + b * H + u, V{}, n);
    } else {
        const float* const a = s.a + row * 3 * H + u;
        float* const dgh = d.dgh + row * 3 * H + u;
        const V r = load(a, n), z = load(a + H, n), nn = load(a + 2 * H, n);
        const V dn = dh * (one - z) * (one - nn * nn), dz = dh * (load(s.h + row * H + u, n) - nn) * z * (one - z);
        store(dgh + H, dz, n);
        if constexpr (kind == GRU_BEFORE) store(dgh + 2 * H, dn, n);
        else {
            float* const dgx = d.dgx + row * 3 * H + u;
            const V dq = dn * r, dr = dq * load(s.saved + row * H + u, n) * (one - r);
            store(dgh, dr, n), store(dgh + 2 * H, dq, n);
            store(dgx, dr, n), store(dgx + H, dz, n), store(dgx + 2 * H, dn, n);
        }
        store(d.dh + b * H + u, dh * z, n);
    }
    return dh;
}

template <class E, Kind kind>
void backward(const Sequence& s, const Gradients& d, Word* scratch, const Crew& crew) {
    const long H = s.H, G = gates(kind), K = kind == GRU_BEFORE ? 2 * H : G * H;
    Word* const second = scratch + Panels<E, WIDE>::size(K, H, 1);
    const Matrix W = {s.weight, H, 1};
    Panels<E, WIDE>::pack(W, K, H, 1, scratch, crew);
    if constexpr (kind == GRU_BEFORE) Panels<E, WIDE>::pack(Matrix::from(W, K, 0), H, H, 1, second, crew);
#pragma omp barrier
    Share mine(s, crew);
    const long rows = mine.count();
    float* const dh = d.dh + mine.rows.first * H;
    const auto zero = [](long, int, long, long) { return V{}; };
    Operand<E> operand, gated;
    for (long t = s.T - 1; t >= 0; --t) {
        double squares = 0;
        for (long b = mine.rows.first; b < mine.rows.last; ++b) {
            V sum = {};
            for (long u = mine.units.first; u < mine.units.last; u += L) {
                const V whole = step_backward<kind>(s, d, t * s.B + b, b, u, std::min<long>(L, H - u));
                sum += whole * whole;
            }
            for (int v = 0; v < L; ++v) squares += sum[v];
        }
        d.squares[t] = squares;
        mine.wait();
        const long at = t * s.B + mine.rows.first;
        float* const dgh = d.dgh + at * G * H;
        if constexpr (kind == GRU_BEFORE) {
            const Word* const dn = gated.of(dgh + 2 * H, 3 * H, rows, H);
            Panels<E, WIDE>::template multiply<1>(
                {second, H, H, 1}, dn, gated.row, mine, zero, [&](long r, long u, long n, const V* sum) {  // sum: δ(r h)
                    const V reset = load(s.a + (at + r) * 3 * H + u, n), h = load(s.h + (at + r) * H + u, n);
                    store(dgh + r * 3 * H + u, sum[0] * h * reset * (splat(1.0f) - reset), n);
                    store(dh + r * H + u, load(dh + r * H + u, n) + sum[0] * reset, n);
                });
            mine.wait();
        }
        const Word* const A = operand.of(dgh, G * H, rows, K);
        Panels<E, WIDE>::template multiply<1>(
            {scratch, K, H, 1}, A, operand.row, mine, zero, [&](long r, long u, long n, const V* sum) {
                store(dh + r * H + u, load(dh + r * H + u, n) + sum[0], n);  // dh += dgh weight_hh
            });
    }
}
