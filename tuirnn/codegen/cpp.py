"""A cell as C++ for `kernels/cpp/recurrence.h`: its shape, and one function per phase of a step, on a vector of units.

The loops, products and buffers are the kernel's; `at` finds the place of a value in them. All sigmoids and hyperbolic
tangents of a phase that do not wait for one another share one division.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tuirnn.codegen.expression import CONSTANT, SIGNS, Expr
from tuirnn.codegen.schedule import Phase, Place, Product, Schedule, backward_schedule, forward_schedule
from tuirnn.codegen.trace import Traced

SHARING = ("sigmoid", "tanh")
OF_SIZE = ("log_sigmoid", "softplus")
"""Functions that are made of e^−|x|; the sigmoid of the same x then is, too."""

MOST_SHARED = 4
"""Denominators whose product stays finite: each is at most 1 + e^20."""


def header(cell: Traced) -> str:
    """The C++ source of `struct Cell`."""
    there, back = forward_schedule(cell), backward_schedule(cell)
    sizes = {
        "GATES": cell.G, "ROWS": cell.R, "STATES": len(cell.state), "EXTRAS": cell.extra_width,
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
    phase: Phase
    arrives: dict[Expr, str]
    names: dict[Expr, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    exponentials: dict[Expr, str] = field(default_factory=dict)
    small_powers: dict[Expr, str] = field(default_factory=dict)

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
        elif (odds := _odds(node)) is not None:
            self._define_share(node, *odds)
        elif node.op in SHARING:
            self._define_together([node, *self._independent(node, order)][:MOST_SHARED], order)
        else:
            for operand in node.args:
                self._define(operand, order)
            operands = [self._text(operand) for operand in node.args]
            if (half := self._exponent(node, order)) is not None:
                m = self._small_power(half)
                self._name(node, f"{m} + splat(1.0f)" if node.op == "exp" else f"{m} * ({m} + splat(2.0f))")
            elif node.op in OF_SIZE:
                self._name(node, f"{node.op}_({operands[0]}, {self._exp_of_size(node.args[0])})")
            elif node.op in SIGNS:
                self._name(node, f"{operands[0]} {SIGNS[node.op]} {operands[1]}")
            else:
                self._name(node, f"-{operands[0]}" if node.op == "neg" else f"{node.op}_({', '.join(operands)})")

    def _exponent(self, node: Expr, order: list[Expr]) -> Expr | None:
        """y of e^y and of e^2y − 1 where both are needed: with m = e^y − 1 they are m + 1 and m (m + 2)."""
        y = node.args[0] if node.op == "exp" else _half(node)
        both = y is not None and any(each.op == "exp" and each.args[0] is y for each in order)
        return y if both and any(_half(each) is y for each in order) else None

    def _small_power(self, y: Expr) -> str:
        """The name of e^y − 1."""
        if y not in self.small_powers:
            self._define(y, [])
            self.small_powers[y] = f"m{len(self.made)}"
            self.made.append(f"const V {self.small_powers[y]} = expm1_({self._text(y)});")
        return self.small_powers[y]

    def _exp_of_size(self, x: Expr) -> str:
        """The name of e^−|x|."""
        if x not in self.exponentials:
            self.exponentials[x] = f"e{len(self.made)}"
            self.made.append(f"const V {self.exponentials[x]} = exp_of_size({self._text(x)});")
        return self.exponentials[x]

    def _independent(self, first: Expr, order: list[Expr]) -> list[Expr]:
        """The other sigmoids and tangents that can be computed before any of them is."""
        given = {first, *self.names, *self.arrives, *self.phase.reads}
        found = (node for node in order if node.op in SHARING and node not in given and _odds(node) is None)
        return [node for node in found if not self._waits(node)]

    def _waits(self, node: Expr) -> bool:
        """Whether what a function is applied to waits for another sigmoid or tangent."""

        def visit(each: Expr) -> bool:
            if each in self.names or each in self.arrives or each in self.phase.reads:
                return False
            return each.op in SHARING or any(map(visit, each.args))

        return any(map(visit, node.args))

    def _define_share(self, node: Expr, *logits: Expr) -> None:
        """σ(x) / (σ(x) + σ(y)) of two logits, in the full range of both and without their logarithms."""
        parts = []
        for x in logits:
            self._define(x, [])
            e = self._exp_of_size(x)
            parts.append((f"({self._text(x)} > splat(0.0f) ? splat(1.0f) : {e})", f"(splat(1.0f) + {e})"))
        (n0, d0), (n1, d1) = parts
        first, second = f"s{len(self.made)}", f"s{len(self.made) + 1}"
        self.made += [f"const V {first} = {n0} * {d1};", f"const V {second} = {n1} * {d0};"]
        self._name(node, f"{first} / ({first} + {second})")

    def _define_together(self, nodes: list[Expr], order: list[Expr]) -> None:
        for node in nodes:
            self._define(node.args[0], order)
            if node.op == "sigmoid" and any(each.op in OF_SIZE and each.args == node.args for each in order):
                self._exp_of_size(node.args[0])
        if len(nodes) == 1 and nodes[0].args[0] not in self.exponentials:
            self._name(nodes[0], f"{nodes[0].op}_({self._text(nodes[0].args[0])})")
            return
        denominators = []
        for node in nodes:
            x, e = self._text(node.args[0]), self.exponentials.get(node.args[0])
            denominators.append(f"d{len(self.made)}")
            argument = x if node.op == "sigmoid" else f"{x} + {x}"
            denominator = f"splat(1.0f) + {e}" if e and node.op == "sigmoid" else f"sigmoid_denominator({argument})"
            self.made.append(f"const V {denominators[-1]} = {denominator};")
        self._divide(nodes, denominators, f"splat(1.0f) / {self._multiplied(denominators)}")

    def _divide(self, nodes: list[Expr], denominators: list[str], inverse: str) -> None:
        """Name the function values, given the text of the inverse of the product of all denominators."""
        if len(nodes) == 1:
            x, e = self._text(nodes[0].args[0]), self.exponentials.get(nodes[0].args[0])
            if nodes[0].op == "tanh":
                inverse = f"splat(2.0f) * ({inverse}) - splat(1.0f)"
            elif e:
                inverse = f"({inverse}) * ({x} > splat(0.0f) ? splat(1.0f) : {e})"
            self._name(nodes[0], inverse)
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


def _half(node: Expr) -> Expr | None:
    """y of e^2y − 1."""
    doubled = node.args[0] if node.op == "expm1" else None
    if doubled is None or doubled.op != "mul" or doubled.args[0].value != 2.0:
        return None
    return doubled.args[1]


def _odds(node: Expr) -> tuple[Expr, Expr] | None:
    """x and y of σ(log σ(x) − log σ(y)), which is σ(x) / (σ(x) + σ(y))."""
    logs = node.args[0].args if node.op == "sigmoid" and node.args[0].op == "sub" else ()
    return (logs[0].args[0], logs[1].args[0]) if [each.op for each in logs] == ["log_sigmoid"] * 2 else None
