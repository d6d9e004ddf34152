"""Expressions as mathematical text: Unicode for a terminal, LaTeX for a page."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, walk

SUM, NEGATION, QUOTIENT, PRODUCT, FRACTION, ATOM = range(6)
"""Precedence of a text's outermost operation, ascending."""

TILDE = "\N{COMBINING TILDE}"

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "rho": "ρ", "tau": "τ", "phi": "φ", "psi": "ψ",
    "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
"""Name in code -> Greek letter."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Style:
    """A notation.

    Attributes:
        functions: function of `tuirnn.cells.functions` -> format of its text.
        times, minus: signs of multiplication and subtraction.
        square, ten_to: formats of x² and of a power of ten.
        fraction, fraction_is: format of a ÷ b, and its precedence.
        parts: lowest precedence of numerator and denominator without parentheses.
        group: adds parentheses to a text.
        root, under_root: format of √x, and the lowest precedence of x without parentheses.
        name: converts a symbol from Unicode.
    """

    functions: Mapping[str, str]
    times: str
    minus: str
    square: str
    ten_to: Callable[[int], str]
    fraction: str
    fraction_is: int
    parts: tuple[int, int]
    group: Callable[[str], str]
    root: str
    under_root: int
    name: Callable[[str], str]


def latex_name(symbol: str) -> str:
    """Convert a symbol such as W_hiᵀ, δh' or f̃ to LaTeX."""
    commands = {letter: f"\\{word} " for word, letter in GREEK.items()}
    symbol = re.sub(f"(.){TILDE}", r"\\tilde{\1}", symbol)
    symbol = re.sub(r"_([^\Wᵀ]+)", r"_{\1}", symbol).replace("ᵀ", r"^{\top}")
    return "".join(commands.get(letter, letter) for letter in symbol).rstrip()


def _latex_group(text: str) -> str:
    return f"\\left({text}\\right)" if "\\frac" in text else f"({text})"


UNICODE = Style(
    functions={
        "sigmoid": "σ({})", "log_sigmoid": "log σ({})", "tanh": "tanh({})", "exp": "exp({})",
        "softplus": "softplus({})", "relu": "relu({})", "is_positive": "[{} > {}]", "maximum": "max({}, {})",
        "select": "({1} if {0} > 0 else {2})",
    },
    times=" ", minus="−", square="{}²", ten_to=lambda power: "10" + str(power).translate(_SUPERSCRIPT),
    fraction="{} / {}", fraction_is=QUOTIENT, parts=(QUOTIENT, ATOM), group="({})".format,
    root="√{}", under_root=ATOM,
    name=lambda symbol: symbol,
)  # fmt: skip

LATEX = Style(
    functions={
        "sigmoid": r"\sigma({})", "log_sigmoid": r"\log\sigma({})", "tanh": r"\tanh({})", "exp": r"\exp({})",
        "softplus": r"\operatorname{{softplus}}({})", "relu": r"\operatorname{{relu}}({})",
        "is_positive": "[{} > {}]", "maximum": r"\max({}, {})",
        "select": r"\left(\begin{{cases}} {1} & {0} > 0 \\ {2} & \text{{else}} \end{{cases}}\right)",
    },
    times=r"\,", minus="-", square="{}^2", ten_to=lambda power: f"10^{{{power}}}",
    fraction=r"\frac{{{}}}{{{}}}", fraction_is=FRACTION, parts=(SUM, SUM), group=_latex_group,
    root=r"\sqrt{{{}}}", under_root=SUM,
    name=latex_name,
)  # fmt: skip


Term = str | tuple[str, Expr]
"""A symbol, or the name of a matrix and the vector that it multiplies."""


@dataclass(frozen=True)
class Symbols:
    """The text of expressions that are not written out.

    Attributes:
        names: expression -> its name.
        sums: expression -> the terms of the sum that it stands for, such as W_xi x + W_hi h + b_i.
    """

    names: dict[Expr, str]
    sums: dict[Expr, tuple[Term, ...]]

    def below(self, node: Expr) -> tuple[Expr, ...]:
        """Return the expressions that the text of an expression contains."""
        if node in self.sums:
            return tuple(term[1] for term in self.sums[node] if not isinstance(term, str))
        return tuple(dict.fromkeys(node.args))

    def walk(self, *roots: Expr) -> Iterator[Expr]:
        """Yield the expressions that the text of some is written with, operands first, each once."""
        return walk(*roots, operands=self.below)


class Writer:
    """Writes expressions in a style."""

    def __init__(self, style: Style, symbols: Symbols) -> None:
        self._style, self._symbols = style, symbols
        self.names = {node: style.name(symbol) for node, symbol in symbols.names.items()}

    def text(self, node: Expr, precedence: int = SUM) -> str:
        """Write an expression, in parentheses if its precedence is lower than `precedence`."""
        if node in self.names:
            return self.names[node]
        text, own = self._plain(node)
        return self._style.group(text) if own < precedence else text

    def _plain(self, node: Expr) -> tuple[str, int]:
        style, given = self._style, self._symbols
        if node in given.sums:
            return " + ".join(
                style.name(term) if isinstance(term, str) else f"{style.name(term[0])} {self.text(term[1], ATOM)}"
                for term in given.sums[node]
            ), SUM
        if node.op == CONSTANT:
            return self._number(node.value)
        assert node.op != LEAF, f"{node.of}.{node.name} has no name"
        return self._arithmetic(node) or self._function(node)

    def _number(self, value: float) -> tuple[str, int]:
        mantissa, _, power = f"{abs(value):g}".partition("e")
        text = mantissa
        if power:
            text = self._style.ten_to(int(power))
            text = text if mantissa == "1" else f"{mantissa}{self._style.times}{text}"
        return (f"{self._style.minus}{text}", NEGATION) if value < 0 else (text, ATOM if not power else PRODUCT)

    def _arithmetic(self, node: Expr) -> tuple[str, int] | None:
        style = self._style
        if node.op == "neg":
            if node.args[0].op == "expm1" and node.args[0] not in self.names:
                return f"1 {style.minus} {self._exp(node.args[0])}", SUM
            return f"{style.minus}{self.text(node.args[0], QUOTIENT)}", NEGATION
        if node.op not in ("add", "sub", "mul", "div"):
            return None
        left, right = node.args
        if node.op == "mul":
            if left is right:
                return style.square.format(self.text(left, ATOM)), ATOM
            first = self.text(left, NEGATION)
            if self._precedence(left) == QUOTIENT:  # a / b c may mean two things
                first = style.group(first)
            own = NEGATION if self._precedence(left) == NEGATION else PRODUCT
            return f"{first}{style.times}{self.text(right, PRODUCT)}", own
        if node.op == "div":
            above, below = style.parts
            return style.fraction.format(self.text(left, above), self.text(right, below)), style.fraction_is
        sign, tight = ("+", SUM) if node.op == "add" else (style.minus, NEGATION)
        if self._precedence(right) == NEGATION:
            tight = QUOTIENT  # and not a + −b
        return f"{self.text(left)} {sign} {self.text(right, tight)}", SUM

    def _precedence(self, node: Expr) -> int:
        return ATOM if node in self.names else self._plain(node)[1]

    def _exp(self, node: Expr) -> str:
        return self._style.functions["exp"].format(self.text(node.args[0]))

    def _function(self, node: Expr) -> tuple[str, int]:
        style = self._style
        if node.op == "expm1":
            return f"{self._exp(node)} {style.minus} 1", SUM
        if node.op == "sqrt":
            return style.root.format(self.text(node.args[0], style.under_root)), ATOM
        arguments = [self.text(argument) for argument in node.args]
        if node.op == "is_positive":  # [x > 0]; of a difference [x > y]
            (argument,) = node.args
            pair = argument.args if argument.op == "sub" and argument not in self.names else (argument, None)
            arguments = [self.text(each) if each is not None else "0" for each in pair]
        return style.functions[node.op].format(*arguments), ATOM
