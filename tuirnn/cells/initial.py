"""Rules for the initial values of a cell's parameters; `tuirnn.models` draws the numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Uniform:
    """Uniform in ±scale/√H, as in torch.nn's recurrent layers."""

    scale: float = 1.0


@dataclass(frozen=True)
class Orthogonal:
    """Each gate's matrix orthogonal, times a gain (Saxe et al. 2013, arXiv 1312.6120)."""

    gain: float = 1.0


@dataclass(frozen=True)
class Constant:
    """The same number for all elements."""

    value: float


@dataclass(frozen=True)
class Setting:
    """The value of a setting of the configuration."""

    name: str


@dataclass(frozen=True)
class Drawn:
    """For each unit a function of a number drawn uniformly from [0, 1)."""

    value: Callable[[float], float]


Rule = Uniform | Orthogonal | Constant | Setting | Drawn

RULES: Mapping[str, Rule] = {"weight_ih": Uniform(), "weight_hh": Uniform(), "bias": Constant(0.0), "vector": Uniform()}
"""Rules for parameters that a cell declares none for."""
