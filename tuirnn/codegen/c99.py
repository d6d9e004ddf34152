"""A cell's step as C99: one loop over the units for each recurrent product, and one for the state after it.

The function is called by `export/c/cell.c`, which has the products and the functions of one number. `a` holds the input
halves with every bias that can be added before; where all gates of a product are only ever summed with it, the product
is added there, else it goes into an array of its own. What depends on vectors alone is computed beforehand and stored.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tuirnn.cells import Cell
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, leaf, make, walk
from tuirnn.codegen.fixed import fixed_parts
from tuirnn.codegen.trace import Stage, Traced, traced

OPERATIONS = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "sigmoid": "sigmoid({})",
    "log_sigmoid": "log_sigmoid({})",
    "tanh": "hyperbolic({})",
    "exp": "expf({})",
    "expm1": "expm1f({})",
    "softplus": "softplus({})",
    "sqrt": "sqrtf({})",
    "relu": "({0} < 0 ? 0 : {0})",
    "is_positive": "({} > 0 ? 1.0f : 0.0f)",
    "maximum": "larger({}, {})",
    "select": "({} > 0 ? {} : {})",
}
"""Each operation on names and numbers."""

DEFINED = ("sigmoid", "log_sigmoid", "tanh", "softplus", "maximum")
"""Those that cell.c defines a function for, where they are used."""


def uses(cell: Cell) -> tuple[str, ...]:
    """The operations of `DEFINED` that a cell's step needs."""
    made = traced(cell)
    fixed = {node for part in fixed_parts(made) for node in walk(part)}
    nodes = {node.op for node in walk(*_roots(made)) if node not in fixed}
    return tuple(name for name in DEFINED if name in nodes)


def _roots(cell: Traced) -> tuple[Expr, ...]:
    return (*cell.after.values(), *(stage.operand for stage in cell.stages))


def state_declaration(cell: Cell) -> str:
    """The members of a structure that holds the state of all layers."""
    return " ".join(f"float {name}[CELL_LAYERS][CELL_HIDDEN];" for name in cell.state)


def layer_function(cell: Cell) -> str:
    """The C source of `layer`, which replaces the state of a layer by the one after a step."""
    return "\n".join(_Writer(traced(cell)).lines()) + "\n"


def _number(value: float) -> str:
    """A float32 that reads back as itself."""
    text = f"{value:.9g}"
    text += "" if "." in text or "e" in text else ".0"
    return f"({text}f)" if value < 0 else f"{text}f"


@dataclass
class _Writer:
    cell: Traced

    def lines(self) -> list[str]:
        """The whole function."""
        states = ", ".join(f"*s_{name} = state->{name}[i]" for name in self.cell.state)
        lines = [
            "/* One layer: a[G H] holds the input half with its biases; the state is replaced. */",
            "static void layer(const cell_layer *w, float *a, cell_state *state, int i) {",
            f"    float {states};",
        ]
        if not self.cell.stages and not self._fixed:
            lines.append("    (void)w;")
        for number, stage in enumerate(self.cell.stages):
            if stage.operand.op == LEAF and stage.operand.of == "state":
                operand = f"s_{stage.operand.name}"
            else:
                operand = f"operand{number}"
                lines += [f"    float {operand}[H] CELL_ALIGNED;", *self._loop({f"{operand}[j]": stage.operand})]
            lines += self._product(number, stage, operand)
        lines += self._loop({f"s_{name}[j]": self.cell.after[name] for name in self.cell.state})
        return [*lines, "}"]

    @cached_property
    def _fixed(self) -> tuple[Expr, ...]:
        return fixed_parts(self.cell)

    def _product(self, number: int, stage: Stage, operand: str) -> list[str]:
        rows, first = len(stage.gates), self.cell.gates.index(stage.gates[0])
        weights = f"product(w->recurrent[{number}], {operand}, H, PADDED({rows} * H), "
        if self._adds_up(stage):
            return [f"    {weights}a + {first} * H);" if first else f"    {weights}a);"]
        name = f"b{number}"
        lines = [f"    float {name}[PADDED({rows} * H)] CELL_ALIGNED = {{0}};"]
        for at, gate in enumerate(stage.gates):
            if gate not in self.cell.additive:
                row = self.cell.recurrent.index(gate)
                lines.append(f"    memcpy({name} + {at} * H, w->recurrent_bias + {row} * H, H * sizeof *{name});")
        return [*lines, f"    {weights}{name});"]

    def _adds_up(self, stage: Stage) -> bool:
        return all(gate in self.cell.additive for gate in stage.gates)

    def _loop(self, results: dict[str, Expr]) -> list[str]:
        """Compute expressions for every unit; all are computed before the first is stored."""
        texts, lines = self._given(), list[str]()
        names = {node: name for name, node in self.cell.kept.items()}
        for node in self._needed(results.values(), texts):
            texts[node] = f"gate_{names[node]}" if node in names else f"v{len(lines)}"
            operands = [_number(each.value) if each.op == CONSTANT else texts[each] for each in node.args]
            lines.append(f"        const float {texts[node]} = {OPERATIONS[node.op].format(*operands)};")
        kept = {place: self._kept(place, texts[node], results, lines) for place, node in results.items()}
        stores = [f"        {place} = {text};" for place, text in kept.items()]
        return ["    for (int j = 0; j < H; j++) {", *lines, *stores, "    }"]

    def _kept(self, place: str, text: str, results: dict[str, Expr], lines: list[str]) -> str:
        """What is stored at a place: where that is another place that is stored to as well, a copy of it."""
        if text in results and text != place:
            lines.append(f"        const float copy{len(lines)} = {text};")
            return f"copy{len(lines) - 1}"
        return text

    def _given(self) -> dict[Expr, str]:
        """What stands in memory when a loop begins."""
        texts = {leaf("state", name): f"s_{name}[j]" for name in self.cell.state}
        texts |= {leaf("x", gate): f"a[{row} * H + j]" for row, gate in enumerate(self.cell.gates)}
        texts |= {node: f"w->fixed[{row} * H + j]" for row, node in enumerate(self._fixed)}
        for number, stage in enumerate(self.cell.stages):
            for at, gate in enumerate(stage.gates):
                x, W = leaf("x", gate), leaf("W", gate)
                texts[W] = f"b{number}[{at} * H + j]"
                both = texts[x] if self._adds_up(stage) else f"({texts[x]} + {texts[W]})"
                texts[make("add", x, W)] = both
        return texts

    def _needed(self, roots: Iterable[Expr], given: dict[Expr, str]) -> list[Expr]:
        """List the values to compute, operands first."""
        found = walk(*roots, operands=lambda node: () if node in given else node.args)
        return [node for node in found if node not in given and node.op != CONSTANT]
