// The time loop of a cell. Letters as in cells/definition.py: T steps, B batch, H hidden, G gates; float32, [T, B, ·].
//
// What is particular to the cell comes from its definition: `struct Cell` in the header that codegen/cpp.py writes.
//
// - The batch is split between threads once; each walks all T steps on its rows, so there is no barrier in a step. Where
//   there are too few rows for that, teams of threads split the units of the same rows, and wait for each other.
// - weight_hh is packed into panels whose columns are one block of units with all its gates side by side: a tile of
//   accumulators then holds every gate of the same units, and the cell's mathematics run on it in the registers.

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
    float* a;                   // [T, B, G·H]: input halves, then what is kept
    std::array<float*, Cell::STATES> states;  // each [T+1, B, H]
    float* extras;              // [T, B, EXTRAS·H]
    const float *weight, *bias, *vectors;  // weight_hh [R·H, H], bias_hh [R·H], [VECTORS, H]
    float* buffers;             // [OPERANDS + CARRIES, B, H], [ONCE, H]
};

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

    // Call f(row of the batch, unit, number of units) for all vectors of units of this share.
    template <class F>
    INLINE void each(long H, const Share& share, F f) {
        for (long b = share.rows.first; b < share.rows.last; ++b)
            for (long u = share.units.first; u < share.units.last; u += L) f(b, u, std::min<long>(L, H - u));
    }
};

// A matrix [K, blocks of units · VECS] packed for products with the rows of a step.
//
// Panel p has VECS blocks of L columns: those of `gates` gates, H apart, for the units p·span … .
template <class E, int VECS, int GATES>
struct Panels {
    const Word* packed;
    long K, H;

    static constexpr long SPAN = VECS / GATES * L;
    static constexpr int TALL = std::max(1, TILE / VECS);  // rows of a tile
    static long count(long H) { return (H + SPAN - 1) / SPAN; }
    static long size(long K, long H) { return count(H) * words<E>(K) * VECS * L; }

    // This thread's part.
    static void pack(const Matrix& M, long K, long H, Word* out, const Crew& crew) {
        const Range mine = part(count(H), crew.me, crew.threads);
        for (long p = mine.first; p < mine.last; ++p)
            for (int v = 0; v < VECS; ++v) {
                const long unit = p * SPAN + v / GATES * L, n = std::clamp<long>(H - unit, 0, L);
                pack_columns<E>(Matrix::from(M, 0, n ? v % GATES * H + unit : 0), K, n,
                                out + p * words<E>(K) * VECS * L + v * L, VECS * L);
            }
    }

    // For all rows and units of a share: sums of A P, which begin as `first(r, v, unit, n)`, go to `finish(r, unit, n,
    // sums)` with the `GATES` sums of units unit … unit + n.
    template <class First, class Finish>
    INLINE void multiply(const Panels& P, const Word* A, long row, const Share& share, First first, Finish finish) {
        const long deep = words<E>(P.K);
        for (long u = share.units.first, p = u / SPAN; u < share.units.last; ++p, u += SPAN)
            tiles<TALL>(share.count(), [&]<int R>(long r0) {
                V sum[R][VECS];
#pragma GCC unroll 24
                for (int r = 0; r < R; ++r)
#pragma GCC unroll 24
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

// Vectors of a panel, by the gates of a product: more than one block of units where the gates are few.
constexpr int wide(int gates) { return gates == 1 ? 4 : gates; }

// Panels of the two directions: forward, the columns are weight_hh's rows; backward, its columns.
template <class E, int k>
using ForwardPanels = Panels<E, wide(Cell::FORWARD[k].rows), Cell::FORWARD[k].rows>;
template <class E>
using BackwardPanels = Panels<E, 4, 1>;

// Rows of floats [rows, K] as the words that a product reads; floats are read where they are.
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
            buffer.resize(rows * row);
            pack_rows<E>({from, stride, 1}, rows, K, buffer.data(), row);
            return buffer.data();
        }
    }
};

// Call f<0>(), f<1>(), … one after the other, for each product.
template <size_t count, class F>
INLINE void for_each_product(F f) {
    [&]<size_t... k>(std::index_sequence<k...>) { (f.template operator()<(int)k>(), ...); }(std::make_index_sequence<count>());
}

// Where the values of one row and unit stand: row t·B + b of the sequence, b of the batch. Products with H are written so
// that the compiler shares them: row · H serves every place.
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

// Words of scratch that `forward` and `backward` need beside the buffers.
template <class E>
long scratch_words(long H) {
    long forward = 0, backward = 0;
    for_each_product<Cell::FORWARD.size()>([&]<int k>() { forward += ForwardPanels<E, k>::size(H, H); });
    for (const Product& p : Cell::BACKWARD) backward += BackwardPanels<E>::size(p.rows * H, H);
    return std::max(forward, backward);
}

// Call f(unit, number of units) for this thread's part of all vectors of units.
template <class F>
INLINE void once(long H, const Crew& crew, F f) {
    const Range mine = part(H, crew.me, crew.threads, L);
    for (long u = mine.first; u < mine.last; u += L) f(u, std::min<long>(L, H - u));
}

template <class E>
void forward(const Sequence& given, Word* scratch, const Crew& crew) {
    const Sequence s = given;  // a copy that no store can change
    const long H = s.H;
    constexpr size_t PRODUCTS = Cell::FORWARD.size();
    Word* packed[PRODUCTS + 1] = {scratch};
    for_each_product<PRODUCTS>([&]<int k>() {
        const Matrix W = {s.weight + Cell::FORWARD[k].weight_row * H * H, 1, H};  // element (k, gate row)
        ForwardPanels<E, k>::pack(W, H, H, packed[k], crew);
        packed[k + 1] = packed[k] + ForwardPanels<E, k>::size(H, H);
    });
    once(H, crew, [&](long u, long n) { Cell::forward_once(At{s, 0, 0, u}, n); });
#pragma omp barrier
    Share mine(s, crew);
    const long rows = mine.count();
    Factor<E> factors[PRODUCTS + 1];
    for (long t = 0; t < s.T; ++t) {
        const long at = t * s.B + mine.rows.first;
        if constexpr (Cell::FORWARD_WORKS[0]) {
            Share::each(H, mine, [&](long b, long u, long n) { Cell::forward<0>(At{s, t * s.B + b, b, u}, n, nullptr); });
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
                    __builtin_prefetch(x + L);  // `forward` reads it
                    return load(s.bias + (P.weight_row + v) * H + u, n);
                },
                [&](long r, long u, long n, const V* sum) {
                    Cell::forward<k + 1>(At{s, at + r, mine.rows.first + r, u}, n, sum);
                });
            mine.wait();
        });
    }
}

// Gradients of all steps but those of states, which run back in time.
struct Gradients {
    const float* dh_all;   // [T, B, H], in
    float *dgates, *dx;    // of the recurrent and of the input halves, [T, B, G·H]; the same where they do not differ
    std::array<float*, Cell::STATES> dstates;  // each [B, H]
    float* dvectors;       // [VECTORS, H] of this thread, zero
    double* squares;       // [T] of this thread: Σ dh², for the probes
};

// The same places going back, and those of gradients.
struct AtBack : At {
    const Gradients& d_;

    float* dgate(int i) const { return d_.dgates + unit(row, Cell::GATES, i); }
    float* dx(int i) const { return d_.dx + unit(row, Cell::GATES, i); }
    float* d(int i) const { return d_.dstates[i] + unit(b); }
    float* dvector(int i) const { return d_.dvectors + unit(0, 1, i); }
    // Gradient of a state after the step; h's is what comes from the steps after it and from the output.
    V d_after(int i, long n) const { return i ? load(d(i), n) : load(d(0), n) + load(d_.dh_all + unit(row), n); }
};

template <class E>
void backward(const Sequence& given, const Gradients& given_d, Word* scratch, const Crew& crew) {
    const Sequence s = given;  // copies that no store can change
    const Gradients d = given_d;
    const long H = s.H;
    constexpr size_t PRODUCTS = Cell::BACKWARD.size();
    Word* packed[PRODUCTS + 1] = {scratch};
    for_each_product<PRODUCTS>([&]<int k>() {
        constexpr Product P = Cell::BACKWARD[k];
        BackwardPanels<E>::pack({s.weight + P.weight_row * H * H, H, 1}, P.rows * H, H, packed[k], crew);
        packed[k + 1] = packed[k] + BackwardPanels<E>::size(P.rows * H, H);
    });
    once(H, crew, [&](long u, long n) { Cell::backward_once(At{s, 0, 0, u}, n); });
#pragma omp barrier
    Share mine(s, crew);
    const long rows = mine.count();
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
