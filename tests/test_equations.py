"""Printed equations, evaluated as they stand, give what the cell computes."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from test_codegen import Odd

from tuirnn.cells import CELLS, Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import V, apply, exp, expm1, select, sqrt
from tuirnn.codegen.equations import equations
from tuirnn.codegen.notation import GREEK, TILDE
from tuirnn.codegen.trace import Traced, traced


class Rare(Cell):
    """Forms that no cell has yet: cases, fractions of fractions, a difference of differences; not a derivative."""

    name = family = "rare"
    year, paper, gates, words = 2026, "", ("a",), {"a": "a"}

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        u = x.a / (1 + exp(s.h))
        return Parts(h=select(s.h - 0.5, u / (u + 2) / 3, -u * 2) - (u - expm1(u)) * (-0.00001 * u)), Parts(u=u)

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        first = d.h / (k.u / after.h) * sqrt(k.u * k.u + 1)
        return Gradients(
            Parts(h=first - -k.u * (s.h + -d.h)), Parts(a=select(d.h * -1, sqrt(expm1(s.h)), k.u - (d.h - 1)))
        )


ALL = {**CELLS, "odd": Odd(), "rare": Rare()}
TOKEN = re.compile(
    rf"10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|\d+(?:\.\d+)?|log σ|if|else|[^\W\d_]{TILDE}?(?:[^\W²]|{TILDE})*'?ᵀ?|[-+−/²√()\[\]>,=]"
)
FUNCTIONS = {"log σ": "log_sigmoid", "σ": "sigmoid", "max": "maximum"} | {
    name: name for name in ("tanh", "exp", "softplus", "relu")
}
Values = dict[str, np.ndarray]


class Reader:
    """Computes a printed expression of one unit, whose matrices are numbers; what stands side by side is multiplied."""

    def __init__(self, text: str, values: Values) -> None:
        self.tokens, self.values = [*TOKEN.findall(text), ""], values
        assert "".join(self.tokens) == text.replace(" ", "").replace("logσ", "log σ"), text

    def take(self, *wanted: str) -> str:
        token = self.tokens.pop(0)
        assert not wanted or token in wanted, (token, wanted, self.tokens)
        return token

    def sum(self) -> np.ndarray:
        found = self.product()
        while self.tokens[0] in ("+", "−"):
            found = found + self.product() if self.take() == "+" else found - self.product()
        return found

    def product(self) -> np.ndarray:
        if self.tokens[0] == "−":
            self.take()
            return -self.product()
        found = self.factor()
        while self.tokens[0] not in ("", "+", "−", "/", ")", "]", ">", ",", "if", "else"):
            found = found * self.factor()
        while self.tokens[0] == "/":
            self.take()
            found = found / self.factor()
            assert self.tokens[0] in ("", "/", "+", "−", ")", "]", ">", ",", "if", "else"), (
                "a / b c may mean two things"
            )
        return found

    def cases(self, found: np.ndarray) -> np.ndarray:
        self.take("if")
        condition = self.sum()
        self.take(">")
        self.take("0")
        self.take("else")
        return np.where(condition > 0, found, self.sum())

    def factor(self) -> np.ndarray:
        token = self.take()
        if token == "(":
            found = self.sum()
            if self.tokens[0] == "if":
                found = self.cases(found)
            self.take(")")
        elif token == "[":
            left = self.sum()
            self.take(">")
            found = (left > self.sum()).astype(float)
            self.take("]")
        elif token == "√":
            found = np.sqrt(self.factor())
        elif token in FUNCTIONS:
            self.take("(")
            arguments = [self.sum()]
            while self.tokens[0] == ",":
                self.take()
                arguments.append(self.sum())
            self.take(")")
            found = apply(FUNCTIONS[token], *arguments)
        elif token.startswith("10") and len(token) > 2 and not token.isdecimal():
            found = np.array([10.0 ** int(token[2:].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))])
        else:
            found = np.array([float(token)]) if token[0].isdecimal() else self.values[token.rstrip("ᵀ")]
        if self.tokens[0] == "²":
            self.take()
            found = found * found
        return found


def computed(lines: tuple[str, ...], values: Values) -> Values:
    """The values with what each line defines."""
    found = dict(values)
    for line in lines:
        name, _, text = line.partition(" = ")
        reader = Reader(text, found)
        found[name] = reader.sum()
        assert reader.tokens == [""], line
    return found


def letters(name: str) -> str:
    return GREEK.get(name, name)


def numbers(made: Traced) -> Values:
    """Numbers for everything that the equations name and do not define."""
    rng = np.random.default_rng(3)
    names = ["x", *made.state, *map(letters, made.vectors)]
    for gate in made.gates:
        names += [f"W_x{gate}", f"W_h{gate}", f"b_{gate}", f"b_x{gate}", f"b_h{gate}"]
    return {name: rng.uniform(0.2, 1.0, size=1) for name in [*names, *(f"δ{name}'" for name in made.state)]}


@pytest.mark.parametrize("cell", ALL)
def test_printed_equations_compute_what_the_cell_computes(cell: str) -> None:
    """With one unit and one input every matrix is a number, and the text can be read as arithmetic."""
    made, definition = traced(ALL[cell]), ALL[cell]
    values = numbers(made)
    x = Parts({g: values[f"W_x{g}"] * values["x"] + values[f"b_{'x' * (g in made.apart)}{g}"] for g in made.gates})
    s, p = (Parts({name: values[letters(name)] for name in names}) for names in (made.state, made.vectors))

    def W(operand: np.ndarray, gates: str) -> Parts[np.ndarray]:
        return Parts({g: values[f"W_h{g}"] * operand + (values[f"b_h{g}"] if g in made.apart else 0) for g in
                      gates.split()})  # fmt: skip

    def Wt(**gradients: np.ndarray) -> np.ndarray:
        return np.asarray(sum(values[f"W_h{gate}"] * d for gate, d in gradients.items()))

    after, kept = definition.step(x, s, W, p)
    shown = computed(equations(definition).forward, values)
    for name in made.state:
        np.testing.assert_allclose(shown[f"{name}'"], after[name], rtol=1e-12)
    d = Parts({name: values[f"δ{name}'"] for name in made.state})
    exact = definition.step_backward(d, kept, s, after, Wt, p)
    given = values | {f"{name}'": after[name] for name in made.state} | {letters(n): kept[n] for n in kept}
    shown = computed(equations(definition).backward, given)
    for name in made.state:
        np.testing.assert_allclose(shown[f"δ{name}"], exact.before[name], rtol=1e-9)
    for name, gradient in (exact.vectors or {}).items():
        np.testing.assert_allclose(shown[f"δ{letters(name)}"], gradient, rtol=1e-9)
    for gate in made.gates:
        np.testing.assert_allclose(shown["δa" if gate in made.state else f"δ{gate}"], exact.x[gate], rtol=1e-9)


def formulas(cells: dict[str, Cell]) -> Iterator[str]:
    for cell in cells.values():
        latex = equations(cell).latex
        yield from (latex.forward, latex.backward)


def test_latex_has_balanced_braces_and_no_unicode() -> None:
    for text in formulas(ALL):
        assert text.isascii(), text
        assert text.count("{") == text.count("}")
        assert text.startswith("\\begin{aligned}\n")
        assert text.endswith("\n\\end{aligned}")
        assert not text.rsplit("\n", 2)[1].endswith("\\")


def test_a_transposed_matrix_is_written_as_one() -> None:
    for cell in ALL.values():
        for gate in traced(cell).recurrent:
            assert f"W_{{h{gate}}}^{{\\top}} " in equations(cell).latex.backward


def test_both_notations_have_the_same_equations() -> None:
    for cell in ALL.values():
        made = equations(cell)
        for lines, latex in ((made.forward, made.latex.forward), (made.backward, made.latex.backward)):
            assert len(lines) == latex.count("&=")
