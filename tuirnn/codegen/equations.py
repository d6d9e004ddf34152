"""A cell's equations as text, from its definition: lines in Unicode, and LaTeX.

δs' is the gradient of a state after the step, δs that of the state before it, δg that of the argument of gate g's
function. Δs is the whole gradient of a state, if several results contain it. g̃ is the argument of gate g's function, if
it occurs twice; any other quantity that occurs twice and takes two operations or more gets a Greek letter.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tuirnn.cells import Cell
from tuirnn.codegen.expression import CONSTANT, Expr, leaf
from tuirnn.codegen.notation import GREEK, LATEX, TILDE, UNICODE, Style, Symbols, Writer
from tuirnn.codegen.trace import Traced, sum_of_halves, traced

LETTERS = "αβγεζηθκλμνξρτφψω"
"""Names for quantities that have none; δ is a gradient."""


@dataclass(frozen=True)
class Latex:
    """The equations of both passes, each as the body of a formula."""

    forward: str
    backward: str


@dataclass(frozen=True)
class Equations:
    """The equations of a cell, in the order of computation.

    Attributes:
        forward, backward: a line of Unicode text for each equation.
        latex: the same as LaTeX.
    """

    forward: tuple[str, ...]
    backward: tuple[str, ...]
    latex: Latex


def equations(cell: Cell) -> Equations:
    """Write the equations of a cell."""
    made = traced(cell)
    forward, backward = _forward(made), _backward(made)
    latex = Latex(*("\\begin{aligned}\n" + " \\\\\n".join(_lines(each, LATEX, "&=")) + "\n\\end{aligned}"
                    for each in (forward, backward)))  # fmt: skip
    return Equations(tuple(_lines(forward, UNICODE, "=")), tuple(_lines(backward, UNICODE, "=")), latex)


@dataclass(frozen=True)
class _System:
    """The equations of a pass: each expression of `named` gets a line and then its name; `results` come last."""

    symbols: Symbols
    named: dict[Expr, str]
    results: dict[Expr, str]


def _lines(system: _System, style: Style, equals: str) -> Iterator[str]:
    writer, roots = Writer(style, system.symbols), [*system.named, *system.results]
    for node in system.symbols.walk(*roots):
        if node in system.named:
            yield f"{style.name(system.named[node])} {equals} {writer.text(node)}"
            writer.names[node] = style.name(system.named[node])
    for node, symbol in system.results.items():
        yield f"{style.name(symbol)} {equals} {writer.text(node)}"


def _greek(name: str) -> str:
    """Return the Greek letter that a name spells, or the name: Lambda -> Λ, p_i -> p_i."""
    return GREEK.get(name, name)


def _forward(cell: Traced) -> _System:
    symbols = _symbols(cell)
    for gate in cell.gates:
        bias = f"b_x{gate}" if gate in cell.non_additive else f"b_{gate}"
        symbols.sums[leaf("x", gate)] = (f"W_x{gate} x", bias)
    for stage in cell.stages:
        for gate in stage.gates:
            product = f"W_h{gate}", stage.operand
            symbols.sums[leaf("W", gate)] = (product, f"b_h{gate}")
            if gate in cell.additive:
                symbols.sums[sum_of_halves(gate)] = (f"W_x{gate} x", product, f"b_{gate}")
    named = {node: _greek(name) for name, node in cell.kept.items()}
    named |= {node: f"{name}'" for name, node in cell.after.items()}
    whole = {sum_of_halves(gate): gate for gate in cell.additive}
    whole |= {leaf("x", gate): gate for gate in cell.gates}
    for node, uses in _uses(symbols, named).items():
        if node in whole and node not in named and uses > 1:
            named[node] = whole[node] + TILDE
    return _System(symbols, _with_letters(symbols, named, {}), {})


def _backward(cell: Traced) -> _System:
    symbols = _symbols(cell)
    symbols.names.update({leaf("kept", name): _greek(name) for name in cell.kept})
    symbols.names.update({leaf("after", name): f"{name}'" for name in cell.state})
    symbols.names.update({leaf("d", name): f"δ{name}'" for name in cell.state})
    named: dict[Expr, str] = {}
    products = {node.name: name for name, node in cell.kept.items() if node.of == "W"}
    for gate in cell.gates:
        named.setdefault(cell.gradients.x[gate], "δa" if gate in cell.state else f"δ{gate}")
    for gate, node in cell.gate_gradients.items():
        named.setdefault(node, f"δ{products.get(gate, gate + '_h')}")
    for product in cell.products:
        terms = tuple((f"W_h{gate}ᵀ", node) for gate, node in product.gradients.items())
        symbols.sums[leaf("Wt", product.name)] = terms
    results = {node: f"δ{name}" for name, node in cell.gradients.before.items()}
    for name, node in cell.vector_gradients.items():
        results.setdefault(node, f"δ{_greek(name)}")
    for node, uses in _uses(symbols, {**named, **results}).items():
        if uses > 1 and (state := _whole_gradient(node)) is not None:
            named.setdefault(node, f"Δ{state}")
    return _System(symbols, _with_letters(symbols, named, results), results)


def _symbols(cell: Traced) -> Symbols:
    names = {leaf("state", name): name for name in cell.state}
    return Symbols(names | {leaf("p", name): _greek(name) for name in cell.vectors}, {})


def _whole_gradient(node: Expr) -> str | None:
    """Return the state whose gradient is the first term of a sum."""
    while node.op in ("add", "sub"):
        given = [operand.name for operand in node.args if operand.of == "d"]
        if given:
            return given[0]
        node = node.args[0]
    return None


def _uses(symbols: Symbols, named: dict[Expr, str]) -> Counter[Expr]:
    """Count the expressions that contain each expression as an operand."""
    return Counter(operand for node in symbols.walk(*named) for operand in symbols.below(node))


def _with_letters(symbols: Symbols, named: dict[Expr, str], results: dict[Expr, str]) -> dict[Expr, str]:
    """Add letters for expressions without a name that occur twice and take two operations or more."""
    roots = {**named, **results}
    uses, sizes, letters, found = _uses(symbols, roots), dict[Expr, int](), iter(LETTERS), dict(named)
    for node in symbols.walk(*roots):
        if node in found or node in symbols.names or node.op == CONSTANT:
            sizes[node] = 0
            continue
        sizes[node] = len(symbols.sums.get(node, ())) or 1 + sum(sizes[operand] for operand in symbols.below(node))
        plain = node.of not in ("x", "W") and node not in results
        if plain and uses[node] > 1 and sizes[node] > 1:
            found[node], sizes[node] = next(letters), 0
    return found
