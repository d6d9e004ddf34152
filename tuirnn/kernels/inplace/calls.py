"""Calls of PyTorch's functions on tensors with names, and the expressions that are turned into them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tuirnn.codegen.expression import CONSTANT, Expr, make, walk

Values = dict[str, Tensor]
"""Tensors by the names of their places."""

ONE, MINUS_TWO = make(CONSTANT, value=1.0), make(CONSTANT, value=-2.0)


@dataclass(frozen=True)
class Call:
    """function(*inputs, **options): its result is written over what stands in `into`, or is a new tensor there."""

    function: Callable[..., Tensor]
    inputs: tuple[str, ...]
    into: str
    in_place: bool
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """values[into] = values[operand] times the rows of gates from the first to before the last."""

    operand: str
    rows: tuple[int, int]
    into: str


Program = tuple["Call | Product", ...]


def run(program: Program, values: Values, times: Callable[[tuple[int, int], Tensor], Tensor]) -> None:
    """Run a program on the tensors of a step."""
    for call in program:
        if isinstance(call, Product):
            values[call.into] = times(call.rows, values[call.operand])
        elif call.in_place:
            call.function(*[values[name] for name in call.inputs], out=values[call.into], **call.options)
        else:
            values[call.into] = call.function(*[values[name] for name in call.inputs], **call.options)


def column(first: int, last: int) -> str:
    """The place of the columns of some gates."""
    return f"gates {first} {last}"


def constants(programs: Iterable[Program], like: Tensor) -> Values:
    """The numbers that programs use, as tensors: a Python number is made into one in each call."""
    names = {name for program in programs for call in program if isinstance(call, Call) for name in call.inputs}
    numbers = (name for name in names if name.startswith("number "))
    return {name: torch.tensor(float(name.split()[1]), device=like.device, dtype=like.dtype) for name in numbers}


class Emitter:
    """Turns expressions into calls; `places` says where a value is, `homes` where it is wanted."""

    def __init__(self, places: dict[Expr, str], roots: Iterable[Expr], homes: Mapping[Expr, str] | None = None) -> None:
        self.places, self.homes, self.calls = dict(places), dict(homes or {}), list[Call | Product]()
        roots = list(roots)
        self.uses = Counter(operand for node in walk(*roots) for operand in node.args) + Counter(roots)

    def add(self, function: Callable[..., Tensor], *inputs: str, into: str = "", **options: float) -> str:
        """A call; returns the place of its result."""
        place = into or f"new {len(self.calls)}"
        self.calls.append(Call(function, inputs, place, bool(into), options))
        return place

    def value(self, node: Expr, into: str = "") -> str:
        """The place of a value, which is computed first where it is not there yet: over `into`, or in a new tensor."""
        if node in self.places:
            place = self.places[node]
            return place if into in ("", place) else self.add(copied, place, into=into)
        if node.op == CONSTANT:
            place = f"number {node.value}"
        else:
            place = self._compute(node, into or self._home(node))
        self.places[node] = place
        return place

    def _home(self, node: Expr) -> str:
        """Where a value is wanted, if nothing that others need stands there."""
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
        (argument,) = node.args
        place = self.value(argument, self._chained(argument, into))
        if node.op == "relu":
            return self.add(torch.clamp_min, place, into=into, min=0)
        if node.op == "is_positive":
            return (
                self.add(_is_positive, place, into=into) if not into else self.add(torch.gt, place, into=into, other=0)
            )
        function = {"sigmoid": torch.sigmoid, "neg": torch.neg}[node.op]
        return self.add(function, place, into=into)

    def _sigmoid_for_tanh(self, node: Expr, into: str) -> str:
        """σ(−2x) for tanh x."""
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
        """Compute what a value is made of, so that one call is left."""
        for operand in node.args:
            fused = ("mul",) if node.op in ("add", "sub") else ("sub", "tanh")
            for each in operand.args if operand.op in fused and self._fuses(operand, operand.op) else (operand,):
                self.value(each)

    def reads(self, node: Expr) -> set[str]:
        """The places that a value will be computed from."""
        if node in self.places:
            return {self.places[node]}
        return {place for operand in node.args for place in self.reads(operand)}

    def _fuses(self, node: Expr, op: str) -> bool:
        return node.op == op and self.uses[node] == 1 and node not in self.places

    def _chained(self, node: Expr, into: str, *others: Expr) -> str:
        """`into` as the place of an intermediate value, where nothing that is still needed stands there."""
        there = node in self.places or node.op == CONSTANT or self.uses[node] > 1
        return "" if there or any(self.places.get(each) == into for each in walk(*others)) else into


def _is_positive(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype)


def copied(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    return x.clone() if out is None else out.copy_(x)
