"""The recurrence over a whole sequence, fast; every kernel is held to `portable` by the same tests."""

from tuirnn.kernels.layer import recurrent_layer
from tuirnn.kernels.trace import Trace

__all__ = ["Trace", "recurrent_layer"]
