"""A checkpoint's weights as numpy arrays, checked against the architecture in run.json."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from tuirnn.codegen.trace import Traced, traced
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
    """The weights of a network in float64.

    Attributes:
        embedding: [V, E]; None for one-hot input.
        layers: recurrent layers.
        projection: weight [P, H] and bias [P]; None without projection. With pooling [P, 2H].
        head: weight [N, P or H] and bias [N]; with pooling [N, P or 2H].
    """

    embedding: Array | None
    layers: tuple[LayerWeights, ...]
    projection: tuple[Array, Array] | None
    head: tuple[Array, Array]


def layer_shapes(cell: Traced, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's tensors by the names of `LayerWeights`; a tensor of 0 rows does not exist."""
    rows, recurrent = cell.G * hidden, cell.R * hidden
    return {
        "weight_ih": (rows, inputs), "weight_hh": (recurrent, hidden), "bias_ih": (rows,), "bias_hh": (recurrent,),
        "vectors": (len(cell.vectors), hidden),
    }  # fmt: skip


def read_weights(data: bytes, config: ModelConfig, where: str) -> ModelWeights:
    """Parse a `model.safetensors` of an architecture; `where` names the checkpoint in errors.

    Raises:
        RunError: a tensor is missing, has another shape, or contains numbers that are not finite in float32.
    """
    try:
        with np.errstate(invalid="ignore"):  # signalling NaNs; `take` refuses NaN
            tensors = {name: array.astype(np.float64) for name, array in load(data).items() if array.dtype in FLOATS}
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise RunError(f"{where}: the weights are damaged: {error}") from None
    return weights_of(tensors, config, where)


def weights_of(tensors: Mapping[str, Array], config: ModelConfig, where: str) -> ModelWeights:
    """Take the weights of an architecture from float64 tensors in memory; see `read_weights`."""

    def take(name: str, *shape: int) -> Array:
        """Return a tensor of this shape (0: any size) with numbers that are finite in float32."""
        array = tensors.get(name)
        sizes = () if array is None else array.shape
        fits = len(sizes) == len(shape) and all(want in (0, got) for want, got in zip(shape, sizes, strict=True))
        if array is None or not fits:
            expected = ", ".join(str(size or "any") for size in shape)
            found = "is missing" if array is None else f"has shape {sizes}"
            raise RunError(f"{where}: '{name}' {found}; expected shape ({expected})")
        if not np.abs(array).max(initial=0.0) <= np.finfo(np.float32).max:
            raise RunError(f"{where}: '{name}' contains numbers that are not finite in float32")
        return array

    def layer(i: int) -> LayerWeights:
        shapes = layer_shapes(traced(config.recurrent), H if i else config.embed, H)
        return LayerWeights(**{
            name: take(f"layers.{i}.{name}", *shape) if shape[0] else np.zeros(shape) for name, shape in shapes.items()
        })  # fmt: skip

    H, P, top = config.hidden, config.projection, config.top
    return ModelWeights(
        embedding=take("embedding.weight", 0, config.embed) if config.embed else None,
        layers=tuple(map(layer, range(config.layers))),
        projection=(take("projection.weight", P, top), take("projection.bias", P)) if P else None,
        head=(take("embedding.weight" if config.tied else "head.weight", 0, P or top), take("head.bias", 0)),
    )
