"""Emits calls that compute expressions."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from tuirnn.codegen.expression import CONSTANT, LEAF, Expr, is_steady, make, walk
from tuirnn.kernels.inplace.calls import PHASES, Call, Product, Program

ONE, MINUS_TWO = make(CONSTANT, value=1.0), make(CONSTANT, value=-2.0)


class Emitter:
    """Emits calls that compute expressions.

    Args:
        places: value -> its place.
        roots: all expressions that will be computed.
        homes: value -> the place where it is required.
    Attributes:
        phase: that new calls belong to.
    """

    def __init__(self, places: dict[Expr, str], roots: Iterable[Expr], homes: Mapping[Expr, str] | None = None) -> None:
        self.places, self.homes = dict(places), dict(homes or {})
        self.calls: dict[str, list[Call | Product]] = {phase: [] for phase in PHASES}
        self.phase = "once"
        roots = list(roots)
        self.uses = Counter(operand for node in walk(*roots) for operand in node.args) + Counter(roots)
        for node in walk(*roots):
            if node.op != LEAF and is_steady(node):
                self.value(node)

    def phases(self) -> tuple[Program, Program, Program, Program]:
        """Return the calls of each phase."""
        once, before, step, after = (tuple(self.calls[phase]) for phase in PHASES)
        return once, before, step, after

    def new(self) -> str:
        """Return the place of a new tensor."""
        return f"{self.phase} {sum(map(len, self.calls.values()))}"

    def add(self, function: Callable[..., Tensor], *inputs: str, into: str = "", **options: float) -> str:
        """Add a call; returns the place of its result."""
        place = into or self.new()
        self.calls[self.phase].append(Call(function, inputs, place, bool(into), options))
        return place

    def product(self, operand: str, rows: tuple[int, int]) -> str:
        """Add a product; returns the place of its result."""
        place = self.new()
        self.calls[self.phase].append(Product(operand, rows, place))
        return place

    def value(self, node: Expr, into: str = "") -> str:
        """Return the place of a value; emits its computation at the first call, in `into` or in a new tensor."""
        if node.op == CONSTANT:
            self.places.setdefault(node, f"number {node.value}")
        if node in self.places:
            place = self.places[node]
            return place if into in ("", place) else self.add(copied, place, into=into)
        assert node.op != LEAF, f"the value of {node.of} {node.name} is overwritten before it is used"
        home = into or (self._home(node) if self.phase != "once" else "")
        place = self.places[node] = self._compute(node, home)
        return place

    def settle(self, wanted: Iterable[tuple[Expr, str]]) -> None:
        """Copy values to the places where they are required, first to places that hold no other of them."""
        waiting = [(node, home) for node, home in wanted if self.places[node] != home]
        while waiting:
            taken = {self.places[node] for node, _ in waiting}
            free = [pair for pair in waiting if pair[1] not in taken]
            if not free:  # a cycle
                node = waiting[0][0]
                self.places[node] = self.add(copied, self.places[node])
                continue
            waiting.remove(free[0])
            self.add(copied, self.places[free[0][0]], into=free[0][1])

    def _home(self, node: Expr) -> str:
        """Return the place where a value is required, if it holds nothing that others need; otherwise ''."""
        home = self.homes.get(node, "")
        below = Counter(operand for each in walk(node) for operand in each.args)
        taken = any(place == home and self.uses[each] > below[each] for each, place in self.places.items())
        return "" if taken else home

    def _compute(self, node: Expr, into: str) -> str:
        if node.op in ("add", "sub"):
            return self._sum(node, into)
        if node.op == "mul":
            return self._product(node, into)
        if node.op == "tanh":
            return self.add(torch.add, self.value(ONE), self._sigmoid_for_tanh(node, into), into=into, alpha=-2)
        function, options = FUNCTIONS[node.op]
        if len(node.args) > 1:
            return self.add(function, *map(self.value, node.args), into=into, **options)
        (argument,) = node.args
        place = self.value(argument, self._chained(argument, into))
        return self.add(function, place, into=into, **options)

    def _sigmoid_for_tanh(self, node: Expr, into: str) -> str:
        """Emit σ(−2x) for tanh x."""
        (argument,) = node.args
        place = self.value(argument, self._chained(argument, into))
        scaled = self.add(torch.mul, place, self.value(MINUS_TWO), into=into)
        return self.add(torch.sigmoid, scaled, into=scaled)

    def _sum(self, node: Expr, into: str) -> str:
        left, right = node.args
        if node.op == "add" and self._fuses(right, "mul") and self._fuses(right.args[1], "sub"):
            weight, (end, start) = right.args[0], right.args[1].args
            if start is left:  # n + z (h − n)
                return self.add(torch.lerp, self.value(left), self.value(end), self.value(weight), into=into)
        pairs = [(left, right)] if node.op == "sub" else [(left, right), (right, left)]
        for base, product in pairs:
            if self._fuses(product, "mul"):
                factors = [self.value(factor) for factor in product.args]
                start_at = self.value(base, self._chained(base, into, *product.args))
                sign = {"value": -1.0} if node.op == "sub" else {}
                return self.add(torch.addcmul, start_at, *factors, into=into, **sign)
        function = torch.add if node.op == "add" else torch.sub
        return self.add(function, self.value(left), self.value(right), into=into)

    def _product(self, node: Expr, into: str) -> str:
        for one, other in (node.args, node.args[::-1]):
            if self._fuses(other, "tanh"):  # o tanh(c) = o − 2 o σ(−2c)
                factor = self.value(one)
                sigmoid = self._sigmoid_for_tanh(other, into if self.places[one] != into else "")
                return self.add(torch.addcmul, factor, factor, sigmoid, into=into, value=-2)
            if self._fuses(other, "sub") and other.args[0] is ONE:  # x (1 − y) = x − x y
                factor, taken = self.value(one), self.value(other.args[1])
                return self.add(torch.addcmul, factor, factor, taken, into=into, value=-1)
        return self.add(torch.mul, *map(self.value, node.args), into=into)

    def prepare(self, node: Expr) -> None:
        """Emit the operands of a value, so that one call remains."""
        for operand in node.args:
            fused = ("mul",) if node.op in ("add", "sub") else ("sub", "tanh")
            for each in operand.args if operand.op in fused and self._fuses(operand, operand.op) else (operand,):
                self.value(each)

    def reads(self, node: Expr) -> set[str]:
        """Return the places that a value will be computed from."""
        if node in self.places:
            return {self.places[node]}
        return {place for operand in node.args for place in self.reads(operand)}

    def _fuses(self, node: Expr, op: str) -> bool:
        return node.op == op and self.uses[node] == 1 and node not in self.places

    def _chained(self, node: Expr, into: str, *others: Expr) -> str:
        """Return `into` as the place of an intermediate value, if it holds nothing that is still needed."""
        there = node in self.places or node.op == CONSTANT or self.uses[node] > 1
        return "" if there or any(self.places.get(each) == into for each in walk(*others)) else into


def _is_positive(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    return (x > 0).to(x.dtype) if out is None else torch.gt(x, 0, out=out)


def _select(condition: Tensor, x: Tensor, y: Tensor, *, out: Tensor | None = None) -> Tensor:
    return torch.where(condition > 0, x, y, out=out)


def copied(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Copy a tensor; `out` may have more dimensions."""
    return x.clone() if out is None else out.copy_(x)


FUNCTIONS: Mapping[str, tuple[Callable[..., Tensor], Mapping[str, float]]] = {
    "neg": (torch.neg, {}),
    "div": (torch.div, {}),
    "sigmoid": (torch.sigmoid, {}),
    "log_sigmoid": (torch.nn.functional.logsigmoid, {}),
    "exp": (torch.exp, {}),
    "expm1": (torch.expm1, {}),
    "softplus": (torch.nn.functional.softplus, {"threshold": 40}),  # above it e^−x is negligible in float64 too
    "sqrt": (torch.sqrt, {}),
    "relu": (torch.clamp_min, {"min": 0}),
    "is_positive": (_is_positive, {}),
    "maximum": (torch.maximum, {}),
    "select": (_select, {}),
}
"""Operation -> the function that computes it from its operands, and its options."""
