"""The forward pass of a cell as Triton kernels, over steps t0 to t1 − 1.

Arguments of the kernels:

    a           [T, B, G·H], input: gx; output: the kept values of gates
    W, bias     weight_hh [R·H, H], bias_hh [R·H]
    vectors     [P, H]
    ring        [operands, 2, B, H] in W's type, operands of the products: step t reads slot t % 2
    s0 …        the states, each [T+1, B, H] float32, filled up to t0
    extras      [T, B, E·H], output: the other kept values
    carries     [carries, B, H] float32
    precomputed without PRODUCT: the stage's product of step t0, [B, gates·H]
    counters    zeros, one for each BB sequences
    T           number of steps of the sequence
"""

from dataclasses import replace

from tuirnn.codegen.expression import leaf
from tuirnn.codegen.schedule import forward_schedule
from tuirnn.codegen.trace import Traced
from tuirnn.codegen.triton_pass import NOW, Pass, stage
from tuirnn.codegen.triton_phase import Body, Moment, indented, when


def width(gates: int) -> int:
    """Return the number of gates in a product's tile: the next power of 2."""
    return 1 << (gates - 1).bit_length()


class Forward(Pass):
    """A cell's forward kernels."""

    def __init__(self, cell: Traced) -> None:
        states = [f"s{i}" for i in range(len(cell.state))]
        arguments = ["a", "W", "bias", "vectors", "ring", *states, "extras", "carries", "precomputed", "counters"]
        super().__init__(cell, forward_schedule(cell), "forward", arguments)

    def lines(self) -> list[str]:
        """Return the source of the kernels."""
        if not self.count:
            return self.kernel("", self._all_steps())
        kernels = self.kernel("", self._steps())
        return kernels + self.kernel("_begin", self._begin()) if self.schedule.phases[0].writes else kernels

    def _all_steps(self) -> list[str]:
        """Return all steps of a cell without products; the state stays in registers."""
        states = range(len(self.cell.state))
        now = self.body(0, NOW, {leaf("state", name): f"h{i}" for i, name in enumerate(self.cell.state)})
        first = [f"h{i} = tl.load(s{i} + t0.to(tl.int64) * (B * H) + own, inside, 0.0)" for i in states]
        loop = ["t = t0 + n", *now.loads(), *now.values(), *now.stores()]
        loop += [f"h{i} = {now.whole(self.cell.after[name])}" for i, name in enumerate(self.cell.state)]
        return [*self.head(), *first, "for n in tl.range(0, t1 - t0, num_stages=LOADS):", *indented(loop)]

    def _begin(self) -> list[str]:
        first = self.body(0, NOW, {})
        return [*self.head(), "t = t0", *first.loads(), *first.values(), *first.stores()]

    def _steps(self) -> list[str]:
        lines = [*self.head(), "counter = counters + tl.program_id(1)"]
        for k in range(1, self.count + 1):
            lines += self._tile(k)
        return lines + self.loop("t = t0", lambda k: self._x(k, NOW), "t < t1", self._segment, "t += 1")

    def _columns(self, k: int) -> list[int | None]:
        """List the gate of `a` that each part of product k's tile is loaded from.

        The sums of additive gates start from the input half. Parts that the next power of 2 leaves over load other
        gates that the phase reads, which then need no load of their own.
        """
        product, phase = self.schedule.products[k - 1], self.schedule.phases[k]
        begin = [product.first + i if x else None for i, x in enumerate(product.from_input)]
        read = [place.index for node in phase.needed if (place := phase.reads.get(node)) and place.of == "gate"]
        room = width(product.rows) - product.rows
        return [*begin, *([*dict.fromkeys(read), *[None] * room][:room])]

    def _tile(self, k: int) -> list[str]:
        """Return the columns of product k's tile in W, bias and a, and the load of W's rows if they are resident."""
        product, columns = self.schedule.products[k - 1], self._columns(k)
        size, rows, first = len(columns), product.rows, product.weight_row
        column = f"tl.arange(0, {size} * BU)"
        lines = [
            f"gate{k}, unit{k} = {column} // BU, tl.program_id(0) * BU + {column} % BU",
            f"row{k}, is_row{k} = gate{k} * H + unit{k}, (gate{k} < {rows}) & (unit{k} < H)",
            f"W{k} = W + {first} * (H * H)",
            f"begin{k} = tl.zeros((BB, {size} * BU), tl.float32)",
        ]
        if not all(product.from_input):
            which = " | ".join(f"(gate{k} == {i})" for i, x in enumerate(product.from_input) if not x)
            lines.append(f"begin{k} += tl.load(bias + {first} * H + row{k}, is_row{k} & ({which}), 0.0)[None, :]")
        if self._reads_x(k):
            source, there = f"gate{k} + {product.first}", f"(unit{k} < H)"
            for i, gate in enumerate(columns):
                if gate is None:
                    there += f" & (gate{k} != {i})"
                elif i >= rows:
                    source = f"tl.where(gate{k} == {i}, {gate}, {source})"
            lines += [
                f"at_x{k} = a + b[:, None] * ({self.cell.G} * H) + (({source}) * H + unit{k})[None, :]",
                f"is_x{k} = (b < B)[:, None] & ({there})[None, :]",
            ]
        keep = f"kept{k} = part_of_W(W{k}, H, row{k}, is_row{k}, 0, H, BK{k}, SLICES)"
        return [*lines, f"kept{k} = row{k}", *when(f"RESIDENT and ({stage(k)})", [keep])]

    def _reads_x(self, k: int) -> bool:
        return any(gate is not None for gate in self._columns(k))

    def _x(self, k: int, moment: Moment, mask: str | None = None) -> list[str]:
        """Return the load of product k's tile of a."""
        at = f"at_x{k} + {replace(moment, ahead=True).rows(f'{self.cell.G} * H')}, {mask or f'is_x{k}'}, 0.0"
        return [f"x{k} = tl.load({at})"] if self._reads_x(k) else []

    def _segment(self, k: int) -> list[str]:
        """Return product k, its phase, after the last product also the next step's first phase, and the barrier."""
        now = self._phase(k)
        begin = f"m = begin{k}" + (f" + x{k}.to(tl.float32)" if self._reads_x(k) else "")
        lines = [begin, *now.loads(), *self._sums(k), *now.values(), *now.stores()]
        if k < self.count:
            return [*lines, *self.meeting(f"(t - t0) * {self.count} + {k}", self._x(k + 1, NOW))]
        if self.schedule.phases[0].writes:
            after = {leaf("state", name): now.whole(self.cell.after[name]) for name in self.cell.state}
            following = self.body(0, Moment(1, "where_more(inside, T, t + 1)"), after)
            lines += [*following.loads(), *following.values(), *following.stores()]
        early = self._x(1, NOW, "where_more(is_x1, t1, t)")
        return [*lines, "t += 1", *self.meeting(f"(t - t0) * {self.count}", early)]

    def _phase(self, k: int) -> Body:
        """Return the phase after product k; the tile's parts hold its sums, and gates that were loaded with them."""
        phase, columns, rows = self.schedule.phases[k], self._columns(k), self.schedule.products[k - 1].rows
        names = {node: f"m{row}" for node, row in phase.arrives.items()}
        for node in phase.needed:
            place = phase.reads.get(node)
            if place is not None and place.of == "gate" and place.index in columns[rows:]:
                names[node] = f"m{columns.index(place.index, rows)}"
        return self.body(k, NOW, names)

    def _sums(self, k: int) -> list[str]:
        """Return product k and the split of its tile into gates."""
        product, size = self.schedule.products[k - 1], len(self._columns(k))
        assert product.operand is not None
        x = f"{self.buffers.operand(product.operand, 't')}, H, b, B"
        W = f"W{k}, H, kept{k}, row{k}, is_row{k}, H"
        parts = ", ".join(f"m{i}" for i in range(size))
        return [
            "if PRODUCT:",
            f"    m = product(m, {x}, {W}, BK{k}, SLICES, RESIDENT, PRECISION)",
            "else:",
            f"    at = precomputed + b[:, None] * ({product.rows} * H) + row{k}[None, :]",
            f"    m += tl.load(at, (b < B)[:, None] & is_row{k}[None, :], 0.0).to(tl.float32)",
            f"{parts}{',' if size == 1 else ''} = apart{size}(m, BB, BU)",
        ]
