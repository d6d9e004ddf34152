"""The cells that PyTorch lacks, each a second time, from its paper alone: plain tensors, left to autograd.

A module has the name of the cell's own in `tuirnn/cells` and is found by it. `tests/test_references.py` compares its
`sequence` with that cell; a cell without a module here is one of torch.nn, or a variant of one.
"""

from typing import NamedTuple

from torch import Tensor


class Weights(NamedTuple):
    """A layer's parameters, gate by gate.

    Attributes:
        U: of the input, gate -> [H, I].
        R: of the recurrent product, gate -> [H, H].
        b: biases, gate -> [H], both of a gate added up.
        v: vectors, name -> [H].
        b_x, b_h: the two biases apart, for gates whose halves are not added.
    """

    U: dict[str, Tensor]
    R: dict[str, Tensor]
    b: dict[str, Tensor]
    v: dict[str, Tensor]
    b_x: dict[str, Tensor]
    b_h: dict[str, Tensor]


class Published(NamedTuple):
    """One step of some units, as the authors' own code computes it in float64.

    Attributes:
        x: what each gate's function is applied to, gate -> units; the recurrent products are zero.
        before, after: the state, name -> units.
        v: vectors, name -> units.
    """

    x: dict[str, list[float]]
    before: dict[str, list[float]]
    after: dict[str, list[float]]
    v: dict[str, list[float]]
