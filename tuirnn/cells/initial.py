"""Rules for the first values of a cell's parameters. They say what is drawn; `tuirnn.models` draws it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Uniform:
    """Uniform within ±scale/√H, as torch.nn's recurrent layers begin."""

    scale: float = 1.0


@dataclass(frozen=True)
class Orthogonal:
    """Each gate's matrix orthogonal, times a gain (Saxe et al. 2013, arXiv 1312.6120)."""

    gain: float = 1.0


@dataclass(frozen=True)
class Constant:
    """The same number everywhere."""

    value: float


@dataclass(frozen=True)
class Setting:
    """A number that the user sets: the value of this setting of the configuration."""

    name: str


@dataclass(frozen=True)
class Drawn:
    """For each unit a function of a number that is drawn uniformly from [0, 1)."""

    value: Callable[[float], float]


Rule = Uniform | Orthogonal | Constant | Setting | Drawn

RULES: Mapping[str, Rule] = {
    "weight_ih": Uniform(),
    "weight_hh": Uniform(),
    "bias": Constant(0.0),
    "vector": Uniform(),
}
"""What holds where a cell says nothing."""
