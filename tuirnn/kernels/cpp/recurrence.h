// The time loop of a cell. Letters as in cells/definition.py: T steps, B batch, H hidden, G gates; float32, [T, B, ·].
//
// `struct Cell` in the header that codegen/cpp.py generates has everything that is specific to the cell.
//
// - Threads divide the sequences of the batch; each runs all T steps on its rows, so a step has no barrier. If rows are
//   too few, teams of threads divide the units of the same rows and wait for one another.
// - weight_hh is packed into panels whose columns are one block of units with all gates of these units: a tile of
//   accumulators then holds every gate of the same units, and the cell's functions run on it in registers.

#pragma once

#include <array>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "products.h"

// The rows of weight_hh that a recurrent product multiplies: those of `rows` gates from `first` on, from row
// weight_row · H. Forward, the operand is a state or, where `made`, a buffer.
struct Operand { bool made; int index; };
struct Product { int first, rows, weight_row; Operand operand; };

#include "cell.h"  // struct Cell

struct Sequence {
    long T, B, H;
    float* a;                   // [T, B, G·H]: input halves, then kept values
    std::array<float*, Cell::STATES> states;  // each [T+1, B, H]
    float* extras;              // [T, B, EXTRAS·H]
    const float *weight, *bias, *vectors;  // weight_hh [R·H, H], bias_hh [R·H], [VECTORS, H]
    float* buffers;             // [OPERANDS + CARRIES, B, H], [ONCE, H]
};

// Number of arrivals of threads at a barrier.
struct alignas(64) Counter { std::atomic<long> arrived{0}; };

// The threads of a call, and the number of this one.
struct Threads {
    long me, count;
    Counter* counters;  // one for each thread, zero at the start
};

constexpr long GRAIN = 4 * L;       // units that are not divided
constexpr long FEWEST_ROWS = 16;    // of a thread: with fewer, loading weights takes longer than computing
constexpr int SPINS = 2000;

// A thread's part of every step: rows of the batch, and if these are few, a part of the units of its team's rows.
struct WorkRange {
    Range rows, units;
    long team;                // threads with the same rows
    std::atomic<long>* arrived;
    long awaited = 0;

    WorkRange(const Sequence& s, const Threads& threads) {
        const long teams = std::clamp<long>(s.B / FEWEST_ROWS, 1, threads.count);
        long mine = 0;
        while (part(threads.count, mine, teams).last <= threads.me) ++mine;
        const Range members = part(threads.count, mine, teams);
        team = members.last - members.first;
        rows = part(s.B, mine, teams);
        units = part(s.H, threads.me - members.first, team, GRAIN);
        arrived = &threads.counters[mine].arrived;
    }
    long count() const { return rows.last - rows.first; }

    // Wait until all threads of the team have written what the others will read. Threads that wait long yield their
    // cores, so that a thread that lost its core can continue.
    void wait() {
        if (team == 1) return;
        awaited += team;
        arrived->fetch_add(1, std::memory_order_acq_rel);
        for (int spin = 0; arrived->load(std::memory_order_acquire) < awaited; ++spin)
            if (spin > SPINS) std::this_thread::yield();
    }

    // Call f(row of the batch, unit, number of units) for all vectors of units of a range.
    template <class F>
    INLINE void each(long H, const WorkRange& range, F f) {
        for (long b = range.rows.first; b < range.rows.last; ++b)
            for (long u = range.units.first; u < range.units.last; u += L) f(b, u, std::min<long>(L, H - u));
    }
};

// A matrix [K, columns] packed for products with the rows of a step.
//
// Panel p has VECS blocks of L columns: those of GATES gates, H apart, for the units from p·SPAN on.
template <class E, int VECS, int GATES>
struct Panels {
    const Word* packed;
    long K, H;

    static constexpr long SPAN = VECS / GATES * L;
    static constexpr int TALL = std::max(1, TILE / VECS);  // rows of a tile
    static long count(long H) { return (H + SPAN - 1) / SPAN; }
    static long size(long K, long H) { return count(H) * words<E>(K) * VECS * L; }

    // Pack this thread's part.
    static void pack(const Matrix& M, long K, long H, Word* out, const Threads& threads) {
        const Range mine = part(count(H), threads.me, threads.count);
        for (long p = mine.first; p < mine.last; ++p)
            for (int v = 0; v < VECS; ++v) {
                const long unit = p * SPAN + v / GATES * L, n = std::clamp<long>(H - unit, 0, L);
                pack_columns<E>(Matrix::from(M, 0, n ? v % GATES * H + unit : 0), K, n,
                                out + p * words<E>(K) * VECS * L + v * L, VECS * L);
            }
    }

    // For all rows and units of a range: compute sums of A P that start from `first(r, v, unit, n)`, and pass the GATES
    // sums of the units from `unit` to `unit + n` to `finish(r, unit, n, sums)`.
    template <class First, class Finish>
    INLINE void multiply(const Panels& P, const Word* A, long row, const WorkRange& range, First first, Finish finish) {
        const long deep = words<E>(P.K);
        for (long u = range.units.first, p = u / SPAN; u < range.units.last; ++p, u += SPAN) {
            const Word* const panel = P.packed + p * deep * VECS * L;
            if constexpr (ON_TILES<E>) multiply_panel(panel, deep, P.H, u, A, row, range.count(), first, finish);
            else tiles<TALL>(range.count(), [&]<int R>(long r0) {
                V sum[R][VECS];
#pragma GCC unroll 24
                for (int r = 0; r < R; ++r)
#pragma GCC unroll 24
                    for (int v = 0; v < VECS; ++v) {
                        const long unit = u + v / GATES * L;
                        sum[r][v] = first(r0 + r, v % GATES, unit, std::clamp<long>(P.H - unit, 0, L));
                    }
                accumulate<E>(sum, A + r0 * row, row, 1, panel, deep);
                for (int r = 0; r < R; ++r)
                    for (int v = 0; v < VECS; v += GATES) {
                        const long unit = u + v / GATES * L;
                        if (unit < P.H) finish(r0 + r, unit, std::min<long>(L, P.H - unit), &sum[r][v]);
                    }
            });
        }
    }

    // The same for one panel, on tiles: sums are stored to the cache and then finished as registers.
    template <class First, class Finish>
    INLINE void multiply_panel(const Word* panel, long deep, long H, long u, const Word* A, long row, long rows,
                               First first, Finish finish) {
        const long tall = tile_height(rows);
        alignas(64) float sums[2 * TILE_ROWS][VECS * L];
        for (long r0 = 0; r0 < rows; r0 += 2 * tall) {
            const long count = std::min(2 * tall, rows - r0);
            multiply_rows<VECS>(A + r0 * row, row, count, tall, panel, deep, sums[0]);
            for (long r = 0; r < count; ++r)
                for (int v = 0; v < VECS; v += GATES) {
                    const long unit = u + v / GATES * L, n = std::clamp<long>(H - unit, 0, L);
                    if (n == 0) continue;
                    V sum[GATES];
                    for (int gate = 0; gate < GATES; ++gate)
                        sum[gate] = first(r0 + r, gate, unit, n) + load(sums[r] + (v + gate) * L);
                    finish(r0 + r, unit, n, sum);
                }
        }
    }
};

// Vectors of a panel for the gates of a product: several blocks of units if there is one gate.
constexpr int wide(int gates) { return gates == 1 ? 4 : gates; }

// Panels of the two directions: forward, the columns are weight_hh's rows; backward, its columns.
template <class E, int k>
using ForwardPanels = Panels<E, wide(Cell::FORWARD[k].rows), Cell::FORWARD[k].rows>;
template <class E>
using BackwardPanels = Panels<E, 4, 1>;

// Rows of floats [rows, K] as the words that a product reads; F32 reads them in place.
template <class E>
struct Factor {
    std::vector<Word> buffer;
    long row = 0;

    const Word* of(const float* from, long stride, long rows, long K) {
        if constexpr (E::DEPTH == 1) {
            row = stride;
            return (const Word*)from;
        } else {
            row = words<E>(K);
            if (ON_TILES<E> && row % (4 * L) == 0) row += L;  // a power of two would map rows to the same cache sets
            buffer.resize((rows + TILE_ROWS) * row + L);      // whole tiles are read
            Word* const out = (Word*)(((uintptr_t)buffer.data() + 63) / 64 * 64);
            pack_rows<E>({from, stride, 1}, rows, K, out, row);
            return out;
        }
    }
};

// Sets the processor's tiles to the rows of a thread while it lives.
template <class E>
struct Tiling {
    Tiling(long rows) { if constexpr (ON_TILES<E>) configure(tile_height(rows)); }
    ~Tiling() { if constexpr (ON_TILES<E>) release(); }
};

// Call f<0>(), f<1>(), … in order, for each product.
template <size_t count, class F>
INLINE void for_each_product(F f) {
    [&]<size_t... k>(std::index_sequence<k...>) { (f.template operator()<(int)k>(), ...); }(std::make_index_sequence<count>());
}

// The addresses of the values of one row and unit: row t·B + b of the sequence, b of the batch. Every address uses the
// same product row · H, which the compiler computes once.
struct At {
    const Sequence& s;
    long row, b, u;

    long unit(long rows, int width = 1, int i = 0) const { return rows * s.H * width + i * s.H + u; }
    float* gate(int i) const { return s.a + unit(row, Cell::GATES, i); }
    float* extra(int i) const { return s.extras + unit(row, Cell::EXTRAS, i); }
    float* before(int i) const { return s.states[i] + unit(row); }
    float* after(int i) const { return s.states[i] + unit(row) + s.B * s.H; }
    const float* vector(int i) const { return s.vectors + unit(0, 1, i); }
    float* operand(int i) const { return s.buffers + unit(b) + i * s.B * s.H; }
    float* carry(int i) const { return operand(Cell::OPERANDS + i); }
    float* once(int i) const { return s.buffers + unit(0, 1, i) + (Cell::OPERANDS + Cell::CARRIES) * s.B * s.H; }
};

// Words of scratch memory for `forward` and `backward`, without the buffers.
template <class E>
long scratch_words(long H) {
    long forward = 0, backward = 0;
    for_each_product<Cell::FORWARD.size()>([&]<int k>() { forward += ForwardPanels<E, k>::size(H, H); });
    for (const Product& p : Cell::BACKWARD) backward += BackwardPanels<E>::size(p.rows * H, H);
    return std::max(forward, backward);
}

// Call f(unit, number of units) for this thread's part of all vectors of units.
template <class F>
INLINE void once(long H, const Threads& threads, F f) {
    const Range mine = part(H, threads.me, threads.count, L);
    for (long u = mine.first; u < mine.last; u += L) f(u, std::min<long>(L, H - u));
}

template <class E>
void forward(const Sequence& given, Word* scratch, const Threads& threads) {
    const Sequence s = given;  // a copy that stores cannot alias
    const long H = s.H;
    constexpr size_t PRODUCTS = Cell::FORWARD.size();
    Word* packed[PRODUCTS + 1] = {scratch};
    for_each_product<PRODUCTS>([&]<int k>() {
        const Matrix W = {s.weight + Cell::FORWARD[k].weight_row * H * H, 1, H};  // element (k, gate row)
        ForwardPanels<E, k>::pack(W, H, H, packed[k], threads);
        packed[k + 1] = packed[k] + ForwardPanels<E, k>::size(H, H);
    });
    once(H, threads, [&](long u, long n) { Cell::forward_once(At{s, 0, 0, u}, n); });
#pragma omp barrier
    WorkRange mine(s, threads);
    const long rows = mine.count();
    const Tiling<E> tiling(rows);
    Factor<E> factors[PRODUCTS + 1];
    for (long t = 0; t < s.T; ++t) {
        const long at = t * s.B + mine.rows.first;
        if constexpr (Cell::FORWARD_WORKS[0]) {
            WorkRange::each(H, mine, [&](long b, long u, long n) { Cell::forward<0>(At{s, t * s.B + b, b, u}, n, nullptr); });
            if constexpr (PRODUCTS > 0) mine.wait();
        }
        for_each_product<PRODUCTS>([&]<int k>() {
            constexpr Product P = Cell::FORWARD[k];
            const At from = {s, at, mine.rows.first, 0};
            const float* const x = P.operand.made ? from.operand(P.operand.index) : from.before(P.operand.index);
            const Word* const A = factors[k].of(x, H, rows, H);
            ForwardPanels<E, k>::multiply(
                {packed[k], H, H}, A, factors[k].row, mine,
                [&](long r, int v, long u, long n) {
                    const float* const x = At{s, at + r, 0, u}.gate(P.first + v);
                    if (Cell::from_input(P.first + v)) return load_ahead(x, n);
                    __builtin_prefetch(x + L);  // `Cell::forward` reads it
                    return load(s.bias + (P.weight_row + v) * H + u, n);
                },
                [&](long r, long u, long n, const V* sum) {
                    Cell::forward<k + 1>(At{s, at + r, mine.rows.first + r, u}, n, sum);
                });
            mine.wait();
        });
    }
}

// The gradients of a backward pass.
struct Gradients {
    const float* dh_all;   // [T, B, H], in
    float *dgates, *dx;    // of recurrent products and input halves, [T, B, G·H]; the same unless a gate is split
    std::array<float*, Cell::STATES> dstates;  // each [B, H]
    float* dvectors;       // [VECTORS, H] of this thread, zero
    double* squares;       // [T] of this thread: Σ dh², for the probes
};

// The same addresses in the backward pass, and those of gradients.
struct AtBack : At {
    const Gradients& d_;

    float* dgate(int i) const { return d_.dgates + unit(row, Cell::GATES, i); }
    float* dx(int i) const { return d_.dx + unit(row, Cell::GATES, i); }
    float* d(int i) const { return d_.dstates[i] + unit(b); }
    float* dvector(int i) const { return d_.dvectors + unit(0, 1, i); }
    // Gradient of a state after the step; that of h is the sum of those of the next step and of the output.
    V d_after(int i, long n) const { return i ? load(d(i), n) : load(d(0), n) + load(d_.dh_all + unit(row), n); }
};

template <class E>
void backward(const Sequence& given, const Gradients& given_d, Word* scratch, const Threads& threads) {
    const Sequence s = given;  // copies that stores cannot alias
    const Gradients d = given_d;
    const long H = s.H;
    constexpr size_t PRODUCTS = Cell::BACKWARD.size();
    Word* packed[PRODUCTS + 1] = {scratch};
    for_each_product<PRODUCTS>([&]<int k>() {
        constexpr Product P = Cell::BACKWARD[k];
        BackwardPanels<E>::pack({s.weight + P.weight_row * H * H, H, 1}, P.rows * H, H, packed[k], threads);
        packed[k + 1] = packed[k] + BackwardPanels<E>::size(P.rows * H, H);
    });
    once(H, threads, [&](long u, long n) { Cell::backward_once(At{s, 0, 0, u}, n); });
#pragma omp barrier
    WorkRange mine(s, threads);
    const long rows = mine.count();
    const Tiling<E> tiling(rows);
    Factor<E> factors[PRODUCTS + 1];
    for (long t = s.T - 1; t >= 0; --t) {
        double squares = 0;
        for (long b = mine.rows.first; b < mine.rows.last; ++b) {
            V sum = {};
            for (long u = mine.units.first; u < mine.units.last; u += L) {
                const AtBack at = {{s, t * s.B + b, b, u}, d};
                const long n = std::min<long>(L, H - u);
                const V whole = at.d_after(0, n);
                Cell::backward<0>(at, n, nullptr);
                sum += whole * whole;
            }
            for (int v = 0; v < L; ++v) squares += sum[v];
        }
        d.squares[t] = squares;
        const long at = t * s.B + mine.rows.first;
        for_each_product<PRODUCTS>([&]<int k>() {
            constexpr Product P = Cell::BACKWARD[k];
            mine.wait();
            const float* const dgates = AtBack{{s, at, 0, 0}, d}.dgate(P.first);
            const Word* const A = factors[k].of(dgates, Cell::GATES * H, rows, P.rows * H);
            BackwardPanels<E>::multiply(
                {packed[k], P.rows * H, H}, A, factors[k].row, mine, [](long, int, long, long) { return V{}; },
                [&](long r, long u, long n, const V* sum) {
                    Cell::backward<k + 1>(AtBack{{s, at + r, mine.rows.first + r, u}, d}, n, sum);
                });
        });
    }
}
