"""A cell as C++ for `kernels/cpp/recurrence.h`: its shape, and one function per phase of a step, on a vector of units.

The loops, products and buffers are the kernel's; `at` finds the place of a value in them. All sigmoids and hyperbolic
tangents of a phase that do not wait for one another share one division.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tuirnn.codegen.expression import CONSTANT, Expr
from tuirnn.codegen.schedule import Phase, Place, Product, Schedule, backward_schedule, forward_schedule
from tuirnn.codegen.trace import Traced

SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
SHARING = ("sigmoid", "tanh")
MOST_SHARED = 4
"""Denominators whose product stays finite: each is at most 1 + e^20."""


def header(cell: Traced) -> str:
    """The C++ source of `struct Cell`."""
    there, back = forward_schedule(cell), backward_schedule(cell)
    sizes = {
        "GATES": cell.G, "ROWS": cell.R, "STATES": len(cell.state), "EXTRAS": cell.extra_width,
        "VECTORS": len(cell.vectors), "OPERANDS": there.operands, "CARRIES": max(there.carries, back.carries),
    }  # fmt: skip
    begins = ", ".join(str(int(gate in cell.additive)) for gate in cell.gates)
    lines = [
        f"// The cell '{cell.name}', from its definition.",
        "struct Cell {",
        *(f"    static constexpr int {name} = {value};" for name, value in sizes.items()),
        f"    static constexpr bool FROM_INPUT[] = {{{begins}}};  // whether a product begins with the input half",
        f"    static constexpr bool SPLIT = {int(bool(cell.split))};  // whether the halves' gradients differ",
        f"    static constexpr std::array<Product, {len(there.products)}> FORWARD = {{{_products(there.products)}}};",
        f"    static constexpr std::array<Product, {len(back.products)}> BACKWARD = {{{_products(back.products)}}};",
        *_functions("forward", there, lambda number, row: f"sum[{row}]"),
        *_functions("backward", back, lambda number, row: f"sum[{row}]" if number else f"at.d_after({row}, n)"),
        "};",
    ]
    return "\n".join(lines) + "\n"


def _products(products: Sequence[Product]) -> str:
    def operand(place: Place | None) -> str:
        return "{}" if place is None else f"{{{int(place.of == 'operand')}, {place.index}}}"

    return ", ".join(f"Product{{{p.first}, {p.rows}, {p.weight_row}, {operand(p.operand)}}}" for p in products)


def _functions(name: str, schedule: Schedule, arrival: Callable[[int, int], str]) -> Iterator[str]:
    yield ""
    yield "    template <int phase, class At>"
    yield f"    INLINE void {name}(const At& at, long n, const V* sum) {{"
    for number, phase in enumerate(schedule.phases):
        if phase.writes:
            yield f"        if constexpr (phase == {number}) {{"
            arrives = {node: arrival(number, row) for node, row in phase.arrives.items()}
            yield from (f"            {line}" for line in _Body(phase, arrives).lines())
            yield "        }"
    yield "    }"
    works = ", ".join(str(int(bool(phase.writes))) for phase in schedule.phases)
    yield f"    static constexpr bool {name.upper()}_WORKS[] = {{{works}}};  // whether a phase does anything"


@dataclass
class _Body:
    phase: Phase
    arrives: dict[Expr, str]
    names: dict[Expr, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Loads and values, then stores."""
        order = self.phase.needed
        for node in order:
            self._define(node, order)
        stores = [self._store(place, self._text(node)) for place, node in self.phase.writes]
        return [*self.made, *stores]

    def _store(self, place: Place, value: str) -> str:
        where = f"at.{place.of}({place.index})"
        return (
            f"store({where}, load({where}, n) + {value}, n);"
            if place.of == "dvector"
            else f"store({where}, {value}, n);"
        )

    def _text(self, node: Expr) -> str:
        return f"splat({node.value!r}f)" if node.op == CONSTANT else self.names[node]

    def _name(self, node: Expr, text: str) -> None:
        self.names[node] = f"v{len(self.names)}"
        self.made.append(f"const V {self.names[node]} = {text};")

    def _define(self, node: Expr, order: list[Expr]) -> None:
        if node in self.names or node.op == CONSTANT:
            return
        if node in self.arrives:
            self._name(node, self.arrives[node])
        elif node in self.phase.reads:
            place = self.phase.reads[node]
            self._name(node, f"load(at.{place.of}({place.index}), n)")
        elif node.op in SHARING:
            self._define_together([node, *self._independent(node, order)][:MOST_SHARED], order)
        else:
            for operand in node.args:
                self._define(operand, order)
            operands = [self._text(operand) for operand in node.args]
            if node.op in SIGNS:
                self._name(node, f"{operands[0]} {SIGNS[node.op]} {operands[1]}")
            else:
                self._name(node, f"-{operands[0]}" if node.op == "neg" else f"{node.op}_({', '.join(operands)})")

    def _independent(self, first: Expr, order: list[Expr]) -> list[Expr]:
        """The other sigmoids and tangents that can be computed before any of them is."""
        given = {first, *self.names, *self.arrives, *self.phase.reads}
        return [node for node in order if node.op in SHARING and node not in given and not self._waits(node)]

    def _waits(self, node: Expr) -> bool:
        """Whether what a function is applied to waits for another sigmoid or tangent."""

        def visit(each: Expr) -> bool:
            if each in self.names or each in self.arrives or each in self.phase.reads:
                return False
            return each.op in SHARING or any(map(visit, each.args))

        return any(map(visit, node.args))

    def _define_together(self, nodes: list[Expr], order: list[Expr]) -> None:
        for node in nodes:
            self._define(node.args[0], order)
        if len(nodes) == 1:
            self._name(nodes[0], f"{nodes[0].op}_({self._text(nodes[0].args[0])})")
            return
        denominators = []
        for node in nodes:
            x = self._text(node.args[0])
            denominators.append(f"d{len(self.made)}")
            argument = x if node.op == "sigmoid" else f"{x} + {x}"
            self.made.append(f"const V {denominators[-1]} = sigmoid_denominator({argument});")
        self._divide(nodes, denominators, f"splat(1.0f) / {self._multiplied(denominators)}")

    def _divide(self, nodes: list[Expr], denominators: list[str], inverse: str) -> None:
        """Name the function values, given the text of the inverse of the product of all denominators."""
        if len(nodes) == 1:
            self._name(nodes[0], inverse if nodes[0].op == "sigmoid" else f"splat(2.0f) * ({inverse}) - splat(1.0f)")
            return
        once, half = f"q{len(self.made)}", (len(nodes) + 1) // 2
        self.made.append(f"const V {once} = {inverse};")
        left, right = denominators[:half], denominators[half:]
        self._divide(nodes[:half], left, f"{once} * {self._multiplied(right)}")
        self._divide(nodes[half:], right, f"{once} * {self._multiplied(left)}")

    def _multiplied(self, some: list[str]) -> str:
        """A product, by halves as `_divide` takes it apart."""
        if len(some) == 1:
            return some[0]
        half = (len(some) + 1) // 2
        return f"({self._multiplied(some[:half])} * {self._multiplied(some[half:])})"
