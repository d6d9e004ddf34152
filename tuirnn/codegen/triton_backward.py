"""The backward pass of a cell as Triton kernels, over steps t1 − 1 down to t0.

Arguments of the kernels:

    a, s0 …, extras, vectors    as the forward pass left or read them
    Wt          weight_hhᵀ [H, R·H]
    dgh, dgx    [T, B, G·H] in W's type, output: gradients of recurrent products and of input halves; dgx only if
                they differ
    dh_all      [T, B, H] float32
    d0 …        [B, H] float32, input: gradients of the last state; output: of the first state
    carries     [carries, B, H] float32
    precomputed without PRODUCT: the stage's product of step t0, [B, H]
    squares     [T+1, programs], output: each program's sum of dh² of step t in row t + 1
    dvectors    [batch programs, P, H] float32, added to
    counters    zeros, one for each BB sequences
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tuirnn.codegen.expression import Expr, leaf
from tuirnn.codegen.schedule import Phase, Place, backward_schedule
from tuirnn.codegen.trace import Traced
from tuirnn.codegen.triton_pass import NOW, Pass, stage
from tuirnn.codegen.triton_phase import Body, Moment, indented, when

BEFORE = Moment(-1, "goes_on")
AT_ENTRY = Moment(-1, "where_more(inside, t, 0)")
"""The same before the iteration of the step has begun."""


class First:
    """The first phase of a step, with the gradient of h.

    Args:
        of: the pass.
        moment: the step.
        after: gradients of the state after the step -> variables that hold them; the others are loaded.
        whole: variable of the whole gradient of h, if it includes dh, the gradient of the output.
    """

    def __init__(self, of: "Backward", moment: Moment, after: dict[Expr, str], whole: str = "") -> None:
        leaves = [leaf("d", name) for name in of.cell.state]
        missing = {node: f"e{i}" for i, node in enumerate(leaves) if node not in after}
        self._sum = f"dh = {whole}" if whole else f"dh += {(after | missing)[leaves[0]]}"
        self._ahead = [f"e{i} = tl.load(d{i} + own, inside, 0.0)" for i, node in enumerate(leaves) if node in missing]
        self._ahead.append(f"dh = tl.load(dh_all + {moment.rows('H')} + own, {moment.mask}, 0.0)")
        self.body = of.body(0, moment, after | missing | {leaves[0]: "dh"})

    def loads(self, early: dict[Expr, str] | None = None) -> list[str]:
        """Return the loads; `early` maps values loaded before to variables."""
        return [*self._ahead, *self.body.loads(early)]

    def done(self, row: str, mask_of_d: str | None = None) -> list[str]:
        """Return the computations and stores; `row` is that of the step in `squares`."""
        programs = "(tl.num_programs(0) * tl.num_programs(1))"
        program = "tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)"
        return [
            self._sum,
            *self.body.values(),
            *self.body.stores(mask_of_d),
            f"seen = tl.where({self.body.moment.mask}, dh, 0.0)",
            f"tl.store(squares + {row} * {programs} + {program}, tl.sum(seen * seen))",
        ]


def _added_to_product(phase: Phase) -> list[Expr] | None:
    """Return the terms added to the last product, if its phase only computes the gradient of h; otherwise None.

    The product's sum then starts from these terms and from the output's gradient at the preceding step (0 before the
    first step). Loaded after the product or held during it, they would need registers of their own.
    """
    if [place for place, _ in phase.writes] != [Place("d", 0)]:
        return None
    (arrival,), terms = phase.arrives, _terms(phase.writes[0][1], phase)
    others = [term for term in terms if term is not arrival]
    fits = len(others) == len(terms) - 1 and all(term in phase.reads for term in others)
    return others if fits else None


def _terms(node: Expr, phase: Phase) -> list[Expr]:
    """Return the terms of a sum; a value that is read is one term."""
    if node.op == "add" and node not in phase.reads:
        return [term for part in node.args for term in _terms(part, phase)]
    return [node]


class Backward(Pass):
    """A cell's backward kernels."""

    def __init__(self, cell: Traced) -> None:
        states, gradients = ([f"{letter}{i}" for i in range(len(cell.state))] for letter in "sd")
        arguments = ["a", "Wt", "dgh", "dgx", "dh_all", "vectors", *gradients, *states, "extras", "carries"]
        arguments += ["precomputed", "squares", "dvectors", "counters"]
        super().__init__(cell, backward_schedule(cell), "backward", arguments)
        vectors = range(len(cell.vectors))
        self._sums = [f"dvector{i} = tl.zeros((BB, BU), tl.float32)" for i in vectors]
        self._sums_end = []
        for i in vectors:
            self._sums_end += [
                f"at = dvectors + (tl.program_id(1) * {len(cell.vectors)} + {i}) * H + u",
                f"tl.store(at, tl.load(at, u < H, 0.0) + tl.sum(dvector{i}, 0), u < H)",
            ]

    def lines(self) -> list[str]:
        """Return the source of the kernels."""
        if not self.count:
            return self.kernel("", self._all_steps())
        return [*self.kernel("", self._steps()), *self.kernel("_begin", self._begin())]

    def _all_steps(self) -> list[str]:
        """Return all steps of a cell without products; the state's gradients stay in registers."""
        states = range(len(self.cell.state))
        first = First(self, NOW, {leaf("d", name): f"e{i}" for i, name in enumerate(self.cell.state)})
        loop = ["t = t1 - 1 - n", *first.loads(), *first.done("(t + 1)", mask_of_d="")]
        loop += [f"e{p.index} = {first.body.whole(node)}" for p, node in first.body.phase.writes if p.of == "d"]
        return [
            *self.head(),
            *self._sums,
            *(f"e{i} = tl.load(d{i} + own, inside, 0.0)" for i in states),
            "for n in tl.range(0, t1 - t0, num_stages=LOADS):",
            *indented(loop),
            *(f"tl.store(d{i} + own, e{i}, inside)" for i in states),
            *self._sums_end,
        ]

    def _begin(self) -> list[str]:
        first = First(self, NOW, {})
        lines = [*self.head(), *self._sums, "t = t1 - 1", *first.loads()]
        return [*lines, *first.done("t1"), *self._sums_end]

    def _steps(self) -> list[str]:
        lines = [*self.head(), "counter = counters + tl.program_id(1)", *self._sums]
        for k, product in enumerate(self.schedule.products, 1):
            W = f"Wt + {product.weight_row} * H, {self.cell.R} * H, u, u < H"
            keep = f"kept{k} = part_of_W({W}, 0, {product.rows} * H, BK{k}, SLICES)"
            lines += [f"kept{k} = u", *when(f"RESIDENT and ({stage(k)})", [keep])]
        begin = ["goes_on = where_more(inside, t, 0)"]
        early = partial(self._early, now=NOW, before=AT_ENTRY)
        return [*lines, *self.loop("t = t1 - 1", early, "t >= t0", self._segment, "t -= 1", begin), *self._sums_end]

    def _gates(self, body: Body, number: int) -> dict[Expr, str]:
        """Map the gates that a phase reads to the variables that they are loaded into before the barrier."""
        return {node: f"g{number}_{place.index}" for node, place in body.loaded().items() if place.of == "gate"}

    def _early(self, k: int, now: Moment, before: Moment) -> list[str]:
        """Return the loads of the gates that segment k reads, at its step and the preceding one."""
        now, before = replace(now, ahead=True), replace(before, ahead=True)
        bodies = [(k, self.body(k, now, {}))] + ([(0, self.body(0, before, {}))] if k == self.count else [])
        return [
            f"{name} = {body.load(node)}" for number, body in bodies for node, name in self._gates(body, number).items()
        ]

    def _segment(self, k: int) -> list[str]:
        """Return product k, its phase, after the last product also the preceding step's first phase, the barrier."""
        phase = self.schedule.phases[k]
        now = self.body(k, NOW, dict.fromkeys(phase.arrives, "m"))
        loads = now.loads(self._gates(now, k))
        if k < self.count:
            early = self._early(k + 1, NOW, BEFORE)
            lines = [*loads, *self._sum(k), *now.values(), *now.stores()]
            return [*lines, *self.meeting(f"(t1 - 1 - t) * {self.count} + {k}", early)]
        added = _added_to_product(phase)
        if added is not None:
            now.names[phase.writes[0][1]] = "m"
        compute = self._sum(k, ["dh", *map(now.text, added)] if added is not None else []) + now.values()
        after = {leaf("d", self.cell.state[p.index]): now.whole(node) for p, node in phase.writes if p.of == "d"}
        first = First(self, BEFORE, after, whole="m" if added is not None else "")
        loads += first.loads(self._gates(first.body, 0))
        lines = [*loads, *compute, *now.stores(mask_of_d="where_more(inside, 1, t)"), *first.done("t")]
        early = self._early(1, Moment(0, "where_more(inside, t + 1, 0)"), AT_ENTRY)
        return [*lines, "t -= 1", *self.meeting(f"(t1 - 1 - t) * {self.count}", early)]

    def _sum(self, k: int, begin: Sequence[str] = ()) -> list[str]:
        """Return product k, in a sum that starts from the variables `begin`."""
        product, G, R = self.schedule.products[k - 1], self.cell.G, self.cell.R
        x = f"dgh + {NOW.rows(f'{G} * H')} + {product.first} * H, {G} * H, b, B"
        W = f"Wt + {product.weight_row} * H, {R} * H, kept{k}, u, u < H, {product.rows} * H"
        return [
            f"m = {' + '.join(begin) or 'tl.zeros((BB, BU), tl.float32)'}",
            "if PRODUCT:",
            f"    m = product(m, {x}, {W}, BK{k}, SLICES, RESIDENT, PRECISION)",
            "else:",
            "    m += tl.load(precomputed + own, inside, 0.0).to(tl.float32)",
        ]
