"""What a cell is.

Letters: T time steps, B batch, I input width, H hidden width, G gates; time-major [T, B, ·]. Weights have
PyTorch's names and layouts: weight_ih [G·H, I], weight_hh [G·H, H], bias_ih and bias_hh [G·H].

A cell is elementwise mathematics around one matrix product. The input half of every gate,
`gx = x weight_ihᵀ + bias`, has been computed for all T steps when the loop begins; the recurrent half,
`gh = h weight_hhᵀ`, is the argument `product`. The derivative is in the same letters, and in two parts: a gradient is
multiplied with factors that no gradient enters, so `factors` makes them for many steps at once from the activations
that `step` left in its buffers, and `step_backward` walks back through time with them. It leaves `dgh`, the gradient
of gh, to the loop, which makes the weight gradients of all steps from it in one product.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from torch import Tensor

State = tuple[Tensor, ...]
"""(h,) or (h, c), each [B, H]; with a leading T in functions that treat all steps at once."""

Product = Callable[..., Tensor]
"""`product(h, rows=slice)`: a new tensor, h weight_hh[rows]ᵀ, + bias_hh[rows] where the cell does not fold it.

Backward, `product_T(dgh, rows=slice)`: dgh weight_hh[rows], the gradient that reaches h.
"""


class Step(NamedTuple):
    """The buffers of one time step: `Cell.step` fills them, the way back reads them and puts gradients in their place.

    Attributes:
        a: [B, G·H], holds gx before the step and the gates' activations after it.
        gates: the parts of `a`, each [B, H].
        before: the state before the step, each [B, H].
        after: the state after the step, each [B, H].
        saved: [B, saved_width·H], whatever else the backward pass needs.
    """

    a: Tensor
    gates: tuple[Tensor, ...]
    before: State
    after: State
    saved: Tensor


class Cell(ABC):
    """Gate equations of one recurrent cell and, beside them, their derivative."""

    name: ClassVar[str]
    gates: ClassVar[tuple[str, ...]]
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    saved_width: ClassVar[int] = 0
    """Extra buffers of H per step that the backward pass needs, beside gates and states."""
    folds_bias: ClassVar[bool] = True
    """Whether bias_hh enters additively next to gx, so that the loop may add it there once."""

    gates_are_states: ClassVar[bool] = False
    """Whether the one gate is the new h itself: then nothing but the states has to stay for the backward pass."""

    @property
    def G(self) -> int:
        """Number of gates."""
        return len(self.gates)

    @abstractmethod
    def step(self, s: Step, product: Product) -> None:
        """Advance one step: from `s.a` (gx) and `s.before` to `s.a` (activations), `s.after` and `s.saved`."""

    @abstractmethod
    def factors(self, s: Step) -> tuple[Tensor, ...]:
        """Turn activations into what the way back multiplies gradients with.

        Args:
            s: buffers of t steps, [t, B, ·], as `step` left them. `a` becomes the factors of dgh, `saved` those of what
                `dgx` needs; the states stay. Where `gates_are_states`, nothing is in `a` yet.
        Returns:
            Further factors, and views of `s` in other shapes, each [t, B, …].
        """

    @abstractmethod
    def step_backward(
        self, dgh: Tensor, kept: Tensor, factors: tuple[Tensor, ...], product_T: Product, dstate: State
    ) -> State:
        """The derivative of `step`.

        Args:
            dgh: [B, G·H], the step's `a` as `factors` left it; becomes the gradient of gh.
            kept: [B, saved_width·H], likewise `saved`; becomes what `dgx` needs.
            factors: of the step, what `factors` returned.
            product_T: the transposed recurrent product.
            dstate: gradients of `s.after`, each [B, H]; may be overwritten.
        Returns:
            Gradients of `s.before`, each [B, H].
        """

    def dgx(self, dgh: Tensor, kept: Tensor) -> Tensor:
        """Gradient of the input half, after the loop: dgh itself where both halves are summed.

        Args:
            dgh: [T, B, G·H].
            kept: [T, B, saved_width·H], what `step_backward` left in `saved`.
        """
        return dgh

    def operands(self, before: State, a: Tensor) -> list[tuple[slice, Tensor]]:
        """What weight_hh's rows were multiplied with: (rows, operand [T, B, H]) pairs that cover all rows."""
        return [(slice(None), before[0])]
