"""The recurrence over a whole sequence, fast; every kernel is held to `eager`, the definition itself, by the tests."""

from tuirnn.kernels import eager
from tuirnn.kernels.cache import ForwardCache
from tuirnn.kernels.layer import recurrent_layer

__all__ = ["ForwardCache", "eager", "recurrent_layer"]
