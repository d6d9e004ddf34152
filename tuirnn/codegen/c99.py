"""A cell's step as C99: one loop over the units for each recurrent product, and one for the state after it.

The function is called by `export/c/cell.c`, which has the products and the functions of one number. `a` holds the input
halves with every bias that can be added before; where all gates of a product are only ever summed with it, the product
is added there, else it goes into an array of its own.
"""

from dataclasses import dataclass

from tuirnn.cells import Cell
from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, leaf, make, walk
from tuirnn.codegen.trace import Stage, Traced, traced

FUNCTIONS = {"sigmoid": "sigmoid({})", "tanh": "hyperbolic({})", "relu": "({0} > 0 ? {0} : 0)"}
SIGNS = {"add": "+", "sub": "-", "mul": "*"}


def uses(cell: Cell) -> tuple[str, ...]:
    """The functions of one number that a cell's step needs."""
    made = traced(cell)
    nodes = walk(*made.after.values(), *(stage.operand for stage in made.stages))
    return tuple(dict.fromkeys(node.op for node in nodes if node.op in FUNCTIONS))


def state_declaration(cell: Cell) -> str:
    """The members of a structure that holds the state of all layers."""
    return " ".join(f"float {name}[CELL_LAYERS][CELL_HIDDEN];" for name in cell.state)


def layer_function(cell: Cell) -> str:
    """The C source of `layer`, which replaces the state of a layer by the one after a step."""
    return "\n".join(_Writer(traced(cell)).lines()) + "\n"


@dataclass
class _Writer:
    cell: Traced

    def lines(self) -> list[str]:
        """The whole function."""
        states = ", ".join(f"*{name} = state->{name}[i]" for name in self.cell.state)
        lines = [
            "/* One layer: a[G H] holds the input half with its biases; the state is replaced. */",
            "static void layer(const cell_layer *w, float *a, cell_state *state, int i) {",
            f"    float {states};",
        ]
        for number, stage in enumerate(self.cell.stages):
            operand = self.cell.state[0]
            if stage.operand.op != LEAF:
                operand = f"operand{number}"
                lines += [f"    float {operand}[H] CELL_ALIGNED;", *self._loop({f"{operand}[j]": stage.operand})]
            elif stage.operand.of == "state":
                operand = stage.operand.name
            lines += self._product(number, stage, operand)
        lines += self._loop({f"{name}[j]": self.cell.after[name] for name in self.cell.state})
        return [*lines, "}"]

    def _product(self, number: int, stage: Stage, operand: str) -> list[str]:
        rows, first = len(stage.gates), self.cell.gates.index(stage.gates[0])
        weights = f"product(w->recurrent[{number}], {operand}, H, PADDED({rows} * H), "
        if self._adds_up(stage):
            return [f"    {weights}a + {first} * H);" if first else f"    {weights}a);"]
        name = f"b{number}"
        lines = [f"    float {name}[PADDED({rows} * H)] CELL_ALIGNED = {{0}};"]
        for at, gate in enumerate(stage.gates):
            if gate not in self.cell.additive:
                lines.append(
                    f"    memcpy({name} + {at} * H, w->recurrent_bias + {first + at} * H, H * sizeof *{name});"
                )
        return [*lines, f"    {weights}{name});"]

    def _adds_up(self, stage: Stage) -> bool:
        return all(gate in self.cell.additive for gate in stage.gates)

    def _loop(self, results: dict[str, Expr]) -> list[str]:
        """Compute expressions for every unit; all are computed before the first is stored."""
        texts, lines = self._given(), list[str]()
        names = {node: name for name, node in self.cell.kept.items()}
        for node in self._needed(list(results.values()), texts):
            texts[node] = f"gate_{names[node]}" if node in names else f"v{len(lines)}"
            lines.append(f"        const float {texts[node]} = {self._text(node, texts)};")
        stores = [f"        {place} = {texts[node]};" for place, node in results.items()]
        return ["    for (int j = 0; j < H; j++) {", *lines, *stores, "    }"]

    def _given(self) -> dict[Expr, str]:
        """What stands in memory when a loop begins."""
        texts = {leaf("state", name): f"{name}[j]" for name in self.cell.state}
        for number, stage in enumerate(self.cell.stages):
            for at, gate in enumerate(stage.gates):
                row = self.cell.gates.index(gate)
                x, product = f"a[{row} * H + j]", f"b{number}[{at} * H + j]"
                texts[leaf("x", gate)], texts[leaf("W", gate)] = x, product
                both = make("add", leaf("x", gate), leaf("W", gate))
                texts[both] = x if self._adds_up(stage) else f"({x} + {product})"
        return texts

    def _needed(self, roots: list[Expr], given: dict[Expr, str]) -> list[Expr]:
        """What has to be computed, operands first."""
        found: dict[Expr, None] = {}

        def visit(node: Expr) -> None:
            if node not in given and node not in found and node.op != CONSTANT:
                for operand in node.args:
                    visit(operand)
                found[node] = None

        for root in roots:
            visit(root)
        return list(found)

    def _text(self, node: Expr, texts: dict[Expr, str]) -> str:
        operands = [f"{each.value:.9g}f" if each.op == CONSTANT else texts[each] for each in node.args]
        if node.op == "neg":
            return f"-{operands[0]}"
        if node.op in SIGNS:
            return f"{operands[0]} {SIGNS[node.op]} {operands[1]}"
        return FUNCTIONS[node.op].format(*operands)
