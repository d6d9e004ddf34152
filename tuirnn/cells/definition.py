"""The definition of a cell: one file with its equations, forward and backward, which all other parts read.

Letters: T time steps, B batch, I input width, H hidden width, G gates. Weights have PyTorch's names and layouts:
weight_ih [G·H, I] and bias_ih [G·H]; weight_hh [R·H, H] and bias_hh [R·H] for the R gates that have a recurrent product
(all of them in PyTorch's cells). The rows of a gate are contiguous, in the order of `gates`. All other parameters are
vectors with one number per unit: [P, H], in the order of `vectors`.

A cell computes elementwise between matrix products. The arguments of its two functions are

    x       the input half of each gate, x weight_ihᵀ + bias_ih, computed for all steps beforehand
    s       the state before the step
    W       the recurrent product: `W(s.h, "r z")` is s.h weight_hhᵀ + bias_hh for the rows of these gates, which are
            neighbours in `gates`. A second call makes a second stage: its operand may depend on the first result
    p       the vectors, each [H]
    k       the values that the forward step keeps for the backward step
    d       the gradients of the state after the step
    Wt      the backward product: `Wt(r=dr, z=dz)` is Σ d[gate] weight_hh[gate], the gradient of the operand

Each value is [B, H]. The functions compute with +, −, ×, ÷ and the functions of `tuirnn.cells.functions`, on numpy
arrays, PyTorch tensors, or expressions that a code generator traces. Python's `if` therefore cannot test a value: a
cell with two cases uses `select` or `maximum`. Constants belong to the module. The state starts at zero.

Every part of the state, every gate and every vector has a gradient; one that is zero is written `0 * d.h`. The rows of
a gate belong to at most one product, whose result may be used repeatedly; every gate has an input half. Names consist
of letters, digits and underscores; a gate, a vector and a part of the state may have the same name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, NamedTuple, Protocol

from tuirnn.cells.functions import V
from tuirnn.cells.initial import Rule


class Parts(dict[str, V], Generic[V]):
    """Named values: `x.i` is x["i"]."""

    def __getattr__(self, name: str) -> V:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"expected one of the names {', '.join(self) or '(none)'}, not '{name}'") from None


Product = Callable[[V, str], Parts[V]]
"""`W(operand, "r z")`: the recurrent product [B, H] of each of these gates, with bias_hh."""


class TransposedProduct(Protocol[V]):
    """`Wt(r=dr, z=dz)`: the backward product Σ d[gate] weight_hh[gate], [B, H]."""

    def __call__(self, **gradients: V) -> V: ...


class Gradients(NamedTuple, Generic[V]):
    """The results of `step_backward`, each [B, H].

    Attributes:
        before: gradient of each part of the state before the step.
        x: gradient of each gate's input half.
        gates: gradient of each recurrent product; None if it equals that of the input half for all gates.
        vectors: gradient of each vector for every sequence; the caller sums over B and T.
    """

    before: Parts[V]
    x: Parts[V]
    gates: Parts[V] | None = None
    vectors: Parts[V] | None = None


class Cell(ABC):
    """A recurrent cell; the module describes the letters.

    Attributes:
        name: as users write it.
        family: name of the cell that this one is a variant of; its own name otherwise.
        option: setting and value that select the variant in a configuration.
        year, paper: the publication.
        gates: names, in the order of weight rows.
        words: readable name of each gate.
        state: names of the state's parts, h first.
        vectors: names of the parameters with one number per unit.
        bounds: largest absolute value of a part of the state, for bounded parts.
        limits: largest absolute value of a vector's numbers; training clips them to it after each step.
        in_torch: class of torch.nn that computes the same, and its arguments; None if there is none.
        initial: rules for initial values of 'weight_ih', 'weight_hh', 'bias f' (rows of gate f in bias_ih) and
            'vector u', if they differ from `cells.initial.RULES`.
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
        """The settings of a configuration that select this cell."""
        return {"cell": self.family, **dict([self.option] if self.option else [])}

    @staticmethod
    @abstractmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        """Compute one time step.

        Args:
            x: input half of each gate, [B, H].
            s: state before the step, each [B, H].
            W: the recurrent product.
            p: vectors, each [H].
        Returns:
            The state after the step, and the values kept for the backward step, each [B, H]. A kept value with the
            name of a gate replaces that gate's input half in memory.
        """

    @staticmethod
    @abstractmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Compute the gradients of one time step.

        Args:
            d: gradients of the state after the step, each [B, H].
            k: the values that `step` kept.
            s: state before the step.
            after: state after the step.
            Wt: the backward product.
            p: vectors, each [H].
        """
