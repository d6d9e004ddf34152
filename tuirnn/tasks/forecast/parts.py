"""How a series is divided: train | test | validation, in the order of time."""

from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from tuirnn.settings.data import DataConfig
from tuirnn.tasks.windows import split

Array = TypeVar("Array", bound=npt.NDArray[Any])


def split_points(values: Array, config: DataConfig) -> tuple[Array, Array, Array]:
    """Train, test and validation of rows [n, …]."""
    points: npt.NDArray[np.int64] = cast(Any, values)
    train, test, val = split(points, config)
    return cast("Array", train), cast("Array", test), cast("Array", val)


def share(values: Array, config: DataConfig) -> Array:
    """The first of the rows that `--fraction` leaves."""
    return cast("Array", values[: max(1, round(len(values) * config.fraction))])
