"""A cell as C++ for `kernels/cpp/recurrence.h`: its sizes, and a function for each phase on a vector of units.

The kernel has the loops, products and buffers; `at` gives the address of a value in them. All sigmoids and hyperbolic
tangents of a phase that do not depend on one another share one division.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tuirnn.codegen.expression import CONSTANT, SIGNS, Expr
from tuirnn.codegen.schedule import Phase, Place, Product, Schedule, backward_schedule, forward_schedule
from tuirnn.codegen.trace import Traced

SHARING = ("sigmoid", "tanh")
OF_SIZE = ("log_sigmoid", "softplus")
"""Functions that are computed from e^−|x|; the sigmoid of the same x then is, too."""

MOST_SHARED = 4
"""Most denominators in one product, each at most 1 + e^20, so that the product is finite."""


def header(cell: Traced) -> str:
    """Generate the C++ source of `struct Cell`."""
    there, back = forward_schedule(cell), backward_schedule(cell)
    sizes = {
        "GATES": cell.G, "ROWS": cell.R, "STATES": len(cell.state), "EXTRAS": len(cell.extra),
        "VECTORS": len(cell.vectors), "OPERANDS": there.operands, "CARRIES": max(there.carries, back.carries),
        "ONCE": max(len(there.once.writes), len(back.once.writes)),
    }  # fmt: skip
    begins = " || ".join(f"gate == {i}" for i, gate in enumerate(cell.gates) if gate in cell.additive) or "false"
    lines = [
        f"// The cell '{cell.name}', from its definition.",
        "struct Cell {",
        *(f"    static constexpr int {name} = {value};" for name, value in sizes.items()),
        "    // Whether a gate's product begins with its input half.",
        f"    static constexpr bool from_input(int gate) {{ return {begins}; }}",
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
    yield "    template <class At>"
    yield f"    INLINE void {name}_once(const At& at, long n) {{"
    yield from (f"        {line}" for line in _Body(schedule.once, {}).lines())
    yield "    }"
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
    """The statements of a phase.

    Attributes:
        phase: what they compute.
        arrives: source of the values in registers.
        names: of the values defined so far.
        made: statements so far.
        shared: intermediate values that several functions use, by letter and argument: 'e' e^−|x|, 'm' e^x − 1.
    """

    phase: Phase
    arrives: dict[Expr, str]
    names: dict[Expr, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    shared: dict[tuple[str, Expr], str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the statements: loads and values, then stores."""
        for node in self.phase.needed:
            self._define(node)
        stores = [self._store(place, self._text(node)) for place, node in self.phase.writes]
        return [*self.made, *stores]

    def _store(self, place: Place, value: str) -> str:
        where = f"at.{place.of}({place.index})"
        value = f"load({where}, n) + {value}" if place.of == "dvector" else value
        return f"store({where}, {value}, n);"

    def _text(self, node: Expr) -> str:
        return f"splat({node.value!r}f)" if node.op == CONSTANT else self.names[node]

    def _line(self, letter: str, text: str) -> str:
        """Add a statement for an intermediate value and return its name."""
        name = f"{letter}{len(self.made)}"
        self.made.append(f"const V {name} = {text};")
        return name

    def _name(self, node: Expr, text: str) -> None:
        self.names[node] = f"v{len(self.names)}"
        self.made.append(f"const V {self.names[node]} = {text};")

    def _define(self, node: Expr) -> None:
        """Add the statements that compute a value, unless it is defined."""
        if node in self.names or node.op == CONSTANT:
            return
        if node in self.arrives:
            self._name(node, self.arrives[node])
        elif node in self.phase.reads:
            place = self.phase.reads[node]
            self._name(node, f"load(at.{place.of}({place.index}), n)")
        elif (odds := _odds(node)) is not None:
            self._define_share(node, *odds)
        elif node.op in SHARING:
            self._define_together([node, *self._independent(node)][:MOST_SHARED])
        else:
            for operand in node.args:
                self._define(operand)
            self._name(node, self._applied(node))

    def _applied(self, node: Expr) -> str:
        """Return the source of an operation on values that are defined."""
        operands = [self._text(operand) for operand in node.args]
        if (y := self._exponent(node)) is not None:
            self._define(y)
            m = self._shared("m", y, f"expm1_({self._text(y)})")
            return f"{m} + splat(1.0f)" if node.op == "exp" else f"{m} * ({m} + splat(2.0f))"
        if node.op in OF_SIZE:
            return f"{node.op}_({operands[0]}, {self._exp_of_size(node.args[0])})"
        if node.op in SIGNS:
            return f"{operands[0]} {SIGNS[node.op]} {operands[1]}"
        return f"-{operands[0]}" if node.op == "neg" else f"{node.op}_({', '.join(operands)})"

    def _exponent(self, node: Expr) -> Expr | None:
        """Return y of e^y and of e^2y − 1 if both are needed: with m = e^y − 1 they are m + 1 and m (m + 2)."""
        y = node.args[0] if node.op == "exp" else _half(node)
        both = y is not None and any(each.op == "exp" and each.args[0] is y for each in self.phase.needed)
        return y if both and any(_half(each) is y for each in self.phase.needed) else None

    def _shared(self, letter: str, x: Expr, text: str) -> str:
        """Return the name of an intermediate value that several functions use; it is computed at the first use."""
        if (letter, x) not in self.shared:
            self.shared[letter, x] = self._line(letter, text)
        return self.shared[letter, x]

    def _exp_of_size(self, x: Expr) -> str:
        """Return the name of e^−|x|."""
        return self._shared("e", x, f"exp_of_size({self._text(x)})")

    def _independent(self, first: Expr) -> list[Expr]:
        """List the other sigmoids and tangents whose arguments do not depend on another of them."""
        given = {first, *self.names, *self.arrives, *self.phase.reads}
        found = (node for node in self.phase.needed if node.op in SHARING and node not in given and _odds(node) is None)
        return [node for node in found if not any(map(self._waits, node.args))]

    def _waits(self, node: Expr) -> bool:
        """Return whether a value depends on a sigmoid or tangent that is not defined yet."""
        if node in self.names or node in self.arrives or node in self.phase.reads:
            return False
        return node.op in SHARING or any(map(self._waits, node.args))

    def _define_share(self, node: Expr, *logits: Expr) -> None:
        """Define σ(x) / (σ(x) + σ(y)) of two logits, in the full range of both and without their logarithms."""
        parts = []
        for x in logits:
            self._define(x)
            e = self._exp_of_size(x)
            parts.append((f"({self._text(x)} > splat(0.0f) ? splat(1.0f) : {e})", f"(splat(1.0f) + {e})"))
        (n0, d0), (n1, d1) = parts
        first, second = self._line("s", f"{n0} * {d1}"), self._line("s", f"{n1} * {d0}")
        self._name(node, f"{first} / ({first} + {second})")

    def _define_together(self, nodes: list[Expr]) -> None:
        """Define sigmoids and tangents with one division for all."""
        of_size = [each.args for each in self.phase.needed if each.op in OF_SIZE]
        for node in nodes:
            self._define(node.args[0])
            if node.op == "sigmoid" and node.args in of_size:
                self._exp_of_size(node.args[0])
        if len(nodes) == 1 and ("e", nodes[0].args[0]) not in self.shared:
            self._name(nodes[0], f"{nodes[0].op}_({self._text(nodes[0].args[0])})")
            return
        denominators = []
        for node in nodes:
            x, e = self._text(node.args[0]), self.shared.get(("e", node.args[0]))
            argument = x if node.op == "sigmoid" else f"{x} + {x}"
            denominator = f"splat(1.0f) + {e}" if e and node.op == "sigmoid" else f"sigmoid_denominator({argument})"
            denominators.append(self._line("d", denominator))
        self._divide(nodes, denominators, f"splat(1.0f) / {self._multiplied(denominators)}")

    def _divide(self, nodes: list[Expr], denominators: list[str], inverse: str) -> None:
        """Define the function values, given the source of the inverse of the product of all denominators."""
        if len(nodes) == 1:
            x, e = self._text(nodes[0].args[0]), self.shared.get(("e", nodes[0].args[0]))
            if nodes[0].op == "tanh":
                inverse = f"splat(2.0f) * ({inverse}) - splat(1.0f)"
            elif e:
                inverse = f"({inverse}) * ({x} > splat(0.0f) ? splat(1.0f) : {e})"
            self._name(nodes[0], inverse)
            return
        once, half = self._line("q", inverse), (len(nodes) + 1) // 2
        left, right = denominators[:half], denominators[half:]
        self._divide(nodes[:half], left, f"{once} * {self._multiplied(right)}")
        self._divide(nodes[half:], right, f"{once} * {self._multiplied(left)}")

    def _multiplied(self, some: list[str]) -> str:
        """Return the source of a product, split into halves as in `_divide`."""
        if len(some) == 1:
            return some[0]
        half = (len(some) + 1) // 2
        return f"({self._multiplied(some[:half])} * {self._multiplied(some[half:])})"


def _half(node: Expr) -> Expr | None:
    """Return y of e^2y − 1; None for any other expression."""
    doubled = node.args[0] if node.op == "expm1" else None
    if doubled is None or doubled.op != "mul" or doubled.args[0].value != 2.0:
        return None
    return doubled.args[1]


def _odds(node: Expr) -> tuple[Expr, Expr] | None:
    """Return x and y of σ(log σ(x) − log σ(y)), which equals σ(x) / (σ(x) + σ(y)); None for any other expression."""
    logs = node.args[0].args if node.op == "sigmoid" and node.args[0].op == "sub" else ()
    return (logs[0].args[0], logs[1].args[0]) if [each.op for each in logs] == ["log_sigmoid"] * 2 else None
