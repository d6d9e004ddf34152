"""Parts of the Triton kernels of both directions: arguments, the sequences and units of a program, the barrier."""

from collections.abc import Callable, Sequence
from itertools import chain

from tuirnn.codegen.expression import Expr, leaf
from tuirnn.codegen.schedule import Place, Schedule, forward_schedule
from tuirnn.codegen.trace import Traced
from tuirnn.codegen.triton_phase import Body, Buffers, Moment, indented, when

CONSTANTS = ("H", "BB", "BU", "SLICES", "STAGE", "LOADS", "PRODUCT", "PERSISTENT", "RESIDENT", "PRECISION")
NOW = Moment()


def ring(cell: Traced) -> tuple[Place, ...]:
    """List the operands of a step's products, each once.

    Their buffers hold two steps: other programs may still read the operands of the preceding step.
    """
    return tuple(dict.fromkeys(each.operand for each in forward_schedule(cell).products if each.operand is not None))


def stage(k: int) -> str:
    """Return the condition that a launch computes product k."""
    return f"STAGE == 0 or STAGE == {k}"


class Pass:
    """One direction of a cell.

    Args:
        cell: the traced cell.
        schedule: its phases and products in this direction.
        name: of the kernels.
        arguments: names of the kernels' pointers.
    """

    def __init__(self, cell: Traced, schedule: Schedule, name: str, arguments: Sequence[str]) -> None:
        self.cell, self.schedule, self.name = cell, schedule, name
        self._arguments = arguments
        self.count = len(schedule.products)
        self.buffers = Buffers(cell, ring(cell))
        self.known = {leaf("p", name): f"vector{i}" for i, name in enumerate(cell.vectors)}
        self.known |= {node: f"once{place.index}" for place, node in schedule.once.writes}

    def kernel(self, suffix: str, body: Sequence[str]) -> list[str]:
        """Return the source of a kernel with this body."""
        terms = [f"BK{k + 1}" for k in range(self.count)]
        constants = [f"{each}: tl.constexpr" for each in (*CONSTANTS, *terms)]
        arguments = ", ".join([*self._arguments, "t0", "t1", "T", "B", *constants])
        decorator = '@triton.jit(do_not_specialize=["t0", "t1", "T"])'
        return ["", "", decorator, f"def {self.name}{suffix}({arguments}):", *indented(body)]

    def head(self) -> list[str]:
        """Return the lines that select a program's sequences and units and compute what depends on vectors alone."""
        lines = [
            "b = tl.program_id(1) * BB + tl.arange(0, BB)",
            "u = tl.program_id(0) * BU + tl.arange(0, BU)",
            "inside = (b < B)[:, None] & (u < H)[None, :]",
            "own = b[:, None] * H + u[None, :]",
            f"own_gates = b[:, None] * ({self.cell.G} * H) + u[None, :]",
        ]
        if self.cell.extra:
            lines.append(f"own_extras = b[:, None] * ({len(self.cell.extra)} * H) + u[None, :]")
        for i in range(len(self.cell.vectors)):
            lines.append(f"vector{i} = tl.load(vectors + {i} * H + u, u < H, 0.0)[None, :]")
        vectors = {node: name for node, name in self.known.items() if not node.args}
        once = Body(self.schedule.once, self.buffers, NOW, vectors, "w")
        lines += once.values()
        return [*lines, *(f"once{place.index} = {once.text(node)}" for place, node in self.schedule.once.writes)]

    def body(self, number: int, moment: Moment, known: dict[Expr, str]) -> Body:
        """Return a phase at a moment; `known` maps values to the variables that hold them."""
        return Body(self.schedule.phases[number], self.buffers, moment, self.known | known, f"v{number}_")

    def meeting(self, arrivals: str, early: Sequence[str]) -> list[str]:
        """Return the barrier after `arrivals` products, with the loads `early` before the wait."""
        return when("PERSISTENT", ["arrive(counter)", *early, f"wait(counter, ({arrivals}) * tl.num_programs(0))"])

    def loop(
        self, start: str, load: Callable[[int], list[str]], condition: str, segment: Callable[[int], list[str]],
        advance: str, begin: Sequence[str] = (),
    ) -> list[str]:  # fmt: skip
        """Return the time loop of a cell with products.

        Args:
            start: statement that sets the first step.
            load: loads for product k, if it is the first of the launch.
            condition: of a further step.
            segment: product k and what follows it; the last one advances the step.
            advance: statement that advances the step in a launch without the last product.
            begin: statements at the start of each step.
        """
        products = range(1, self.count + 1)
        first = (when("STAGE <= 1" if k == 1 else f"STAGE == {k}", load(k)) for k in products)
        body = [*begin, *chain.from_iterable(when(stage(k), segment(k)) for k in products)]
        if self.count > 1:
            body += when(f"STAGE != 0 and STAGE != {self.count}", [advance])
        return [start, *chain.from_iterable(first), f"while {condition}:", *indented(body)]
