"""A checkpoint's weights as numpy arrays, checked against the model that run.json describes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from tuirnn.codegen.trace import traced
from tuirnn.errors import RunError
from tuirnn.settings.model import ModelConfig

FLOATS = (np.float32, np.float64)
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerWeights:
    """One recurrent layer: weight_ih [G·H, I], weight_hh [R·H, H], bias_ih [G·H], bias_hh [R·H], vectors [P, H]."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array
    vectors: Array


@dataclass(frozen=True)
class ModelWeights:
    """A whole network in float64; `embedding` and `projection` are None where the model has none."""

    embedding: Array | None
    layers: tuple[LayerWeights, ...]
    projection: tuple[Array, Array] | None
    head: tuple[Array, Array]


def read_weights(data: bytes, config: ModelConfig, where: str) -> ModelWeights:
    """Parse `model.safetensors`.

    Args:
        data: the file.
        config: the architecture that it must fit.
        where: the checkpoint's name, for the error.
    Raises:
        RunError: missing or misshapen tensors.
    """
    try:
        with np.errstate(invalid="ignore"):  # signalling NaNs; `take` refuses all that are not finite
            tensors = {name: array.astype(np.float64) for name, array in load(data).items() if array.dtype in FLOATS}
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise RunError(f"{where}: the weights are damaged: {error}") from None

    def take(name: str, *shape: int | None) -> Array:
        """A tensor of that shape, None standing for any size, of numbers that float32 holds."""
        array = tensors.get(name)
        fits = (
            array is not None
            and array.ndim == len(shape)
            and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
        )
        if array is None or not fits:
            raise RunError(f"{where}: '{name}' has shape {None if array is None else array.shape}, not {shape}")
        if not np.abs(array).max(initial=0.0) <= np.finfo(np.float32).max:
            raise RunError(f"{where}: '{name}' holds numbers that are not finite in float32")
        return array

    def optional(name: str, *shape: int) -> Array:
        """A tensor that a cell may lack: one of no rows is not in the file."""
        return take(name, *shape) if shape[0] else np.zeros(shape)

    H, cell = config.hidden, traced(config.recurrent)
    layers = []
    for i in range(config.layers):
        width = H if i else config.embed or None
        layers.append(
            LayerWeights(
                take(f"layers.{i}.weight_ih", cell.G * H, width),
                optional(f"layers.{i}.weight_hh", cell.R * H, H),
                take(f"layers.{i}.bias_ih", cell.G * H),
                optional(f"layers.{i}.bias_hh", cell.R * H),
                optional(f"layers.{i}.vectors", len(cell.vectors), H),
            )
        )
    P = config.projection
    return ModelWeights(
        embedding=take("embedding.weight", None, config.embed) if config.embed else None,
        layers=tuple(layers),
        projection=(take("projection.weight", P, H), take("projection.bias", P)) if P else None,
        head=(
            take("embedding.weight" if config.tied else "head.weight", None, P or H),
            take("head.bias", None),
        ),
    )
