"""What a cell is. One file holds its equations, forward and backward; every other part of the project reads them there.

Letters: T time steps, B batch, I input width, H hidden width, G gates. Weights have PyTorch's names and layouts:
weight_ih [G·H, I] and bias_ih [G·H]; weight_hh [R·H, H] and bias_hh [R·H] for the R gates that take part in a
recurrent product (all of them in PyTorch's cells). The rows of a gate lie together, in the order of `gates`. Parameters
that are neither are vectors, one number for each unit: [P, H] in the order of `vectors`.

A cell is elementwise mathematics around matrix products. Its two functions get

    x       the input half of each gate, x weight_ihᵀ + bias_ih, computed for all steps beforehand
    s       the state before the step
    W       the recurrent product: `W(s.h, "r z")` is s.h weight_hhᵀ + bias_hh for the rows of these gates, which are
            neighbours in `gates`. A second call makes a second stage: its operand may depend on what the first one gave
    p       the vectors, each [H]
    k       what the forward step keeps for the backward step
    d       the gradients of the state after the step
    Wt      the transposed product: `Wt(r=dr, z=dz)` is Σ d[gate] weight_hh[gate], the gradient that reaches the operand

each value [B, H], and compute with +, −, ×, ÷ and the functions of `tuirnn.cells.functions`, on whatever they are
given: numpy arrays, PyTorch tensors, or expressions that a code generator traces. So Python's `if` cannot ask for a
value: where a cell has two cases it says `select` or `maximum`; numbers that do not change are constants of the module.
The state starts at zero.

Every part of the state, every gate and every vector gets a gradient; one that is nothing is `0 * d.h`. A gate's rows
take part in one product at most, whose result may be used as often as needed; its input half is always there. Names
are letters, digits and underscores; a gate, a vector and a part of the state may share one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar

from tuirnn.cells.functions import V, Value
from tuirnn.cells.initial import Rule

V_co = TypeVar("V_co", bound=Value, covariant=True)


class Parts(dict[str, V], Generic[V]):
    """Named values: `x.i` is x["i"]."""

    def __getattr__(self, name: str) -> V:
        try:
            return self[name]
        except KeyError:
            known = f"there are {', '.join(self)}" if self else "there is nothing: these parts are empty"
            raise AttributeError(f"there is no '{name}' here; {known}") from None


Product = Callable[[V, str], Parts[V]]
"""`W(operand, "r z")`: the recurrent product of some gates' rows, with bias_hh."""


class TransposedProduct(Protocol[V]):
    """`Wt(r=dr, z=dz)`: Σ d[gate] weight_hh[gate]."""

    def __call__(self, **gradients: V) -> V: ...


class Gradients(NamedTuple, Generic[V]):
    """What `step_backward` returns.

    Attributes:
        before: of the state before the step.
        x: of the input half of each gate.
        gates: of the recurrent product of each gate that has one; None where both halves are only ever summed: then it
            is that of x.
        vectors: of each vector, for every sequence of the batch: [B, H]. The reader sums over B and T.
    """

    before: Parts[V]
    x: Parts[V]
    gates: Parts[V] | None = None
    vectors: Parts[V] | None = None


class Cell(ABC):
    """One recurrent cell; see the module for the letters.

    Attributes:
        name: as users write it.
        family: the name of the cell that this one is a variant of; its own where it is not.
        option: the setting, and its value, by which configurations from before this name choose the variant.
        year, paper: where it was published.
        gates: in the order of weight rows.
        words: what each gate is called.
        state: names of the state's parts, h first.
        vectors: parameters with one number for each unit.
        bounds: the largest absolute value of a part of the state, where there is one.
        limits: the largest absolute value of a vector's numbers, at which training clips them after each step.
        in_torch: the class of torch.nn that computes the same and its arguments, where there is one.
        initial: the first values of 'weight_ih', 'weight_hh', 'bias f' (of gate f's rows of bias_ih) and 'vector u',
            where they are not what `cells.initial.RULES` says.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    option: ClassVar[tuple[str, str] | None] = None
    year: ClassVar[int]
    paper: ClassVar[str]
    gates: ClassVar[tuple[str, ...]]
    words: ClassVar[Mapping[str, str]]
    state: ClassVar[tuple[str, ...]] = ("h",)
    vectors: ClassVar[tuple[str, ...]] = ()
    bounds: ClassVar[Mapping[str, float]] = {}
    limits: ClassVar[Mapping[str, float]] = {}
    in_torch: ClassVar[tuple[str, Mapping[str, str]] | None] = None
    initial: ClassVar[Mapping[str, Rule]] = {}

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a configuration that name this cell."""
        return {"cell": self.family, **dict([self.option] if self.option else [])}

    @staticmethod
    @abstractmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        """One time step: the state after it, and what is kept for the way back.

        What is kept under the name of a gate takes the place of that gate's input half.
        """

    @staticmethod
    @abstractmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """The derivative of `step`."""
