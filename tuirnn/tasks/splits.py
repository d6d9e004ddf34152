"""Dividing examples into training, validation and test part."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from tuirnn.settings.data import DataConfig

T = TypeVar("T")


def divided(examples: Sequence[T], config: DataConfig, rng: np.random.Generator) -> tuple[list[T], list[T], list[T]]:
    """Shuffle examples and divide them, as the settings' fractions say.

    Args:
        examples: in an order that is always the same.
        config: settings.
        rng: that shuffles; from `config.split_seed`, so that each run has the same parts.
    Returns:
        training part, which is empty where there are too few examples, validation part and test part.
    """
    chosen = [examples[i] for i in rng.permutation(len(examples))][: max(1, round(len(examples) * config.fraction))]
    held = max(1, round(len(chosen) * config.val_fraction))
    kept = max(1, round(len(chosen) * config.test_fraction)) if config.test_fraction else 0
    return chosen[held + kept :], chosen[:held], chosen[held : held + kept]
