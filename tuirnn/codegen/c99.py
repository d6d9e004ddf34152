"""A cell's step as C99: one loop over the units before each recurrent product, and one for the state after the step.

`export/c/cell.c` calls the function and defines the products and the functions of numbers. `a` holds the input halves
with every bias that can be added beforehand. A product whose gates are all additive is added to `a`; any other product
has an array of its own. Values that depend on vectors alone are stored with the weights.
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
"""Operation -> its C source for operands that are names or numbers."""

DEFINED = ("sigmoid", "log_sigmoid", "tanh", "softplus", "maximum")
"""The operations that cell.c defines as functions if they are used."""


def uses(cell: Cell) -> tuple[str, ...]:
    """List the operations of `DEFINED` that a cell's step uses."""
    made = traced(cell)
    fixed, roots = fixed_parts(made), (*made.after.values(), *(stage.operand for stage in made.stages))
    nodes = walk(*roots, operands=lambda node: () if node in fixed else node.args)
    found = {node.op for node in nodes if node not in fixed}
    return tuple(name for name in DEFINED if name in found)


def state_declaration(cell: Cell) -> str:
    """Generate the members of a structure that holds the state of all layers."""
    return " ".join(f"float {name}[CELL_LAYERS][CELL_HIDDEN];" for name in cell.state)


def layer_function(cell: Cell) -> str:
    """Generate the C source of `layer`, which computes a layer's state after a step in place."""
    return "\n".join(_Writer(traced(cell)).lines()) + "\n"


def _number(value: float) -> str:
    """Write a float32 with enough digits to read back the same number."""
    text = f"{value:.9g}"
    text += "" if "." in text or "e" in text else ".0"
    return f"({text}f)" if value < 0 else f"{text}f"


@dataclass
class _Writer:
    cell: Traced

    def lines(self) -> list[str]:
        """Return the whole function."""
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
        """Return a loop that computes expressions for every unit, and stores them after computing all."""
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
        """Return the value to store at a place: a copy if it is read from another place that is also stored to."""
        if text in results and text != place:
            lines.append(f"        const float copy{len(lines)} = {text};")
            return f"copy{len(lines) - 1}"
        return text

    def _given(self) -> dict[Expr, str]:
        """Map the values in memory at the start of a loop to their C source."""
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
