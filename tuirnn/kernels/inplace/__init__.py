"""A traced cell as short lists of in-place PyTorch calls, which the portable loop runs at each step.

Nothing here is specific to a cell. If the definition allows it,

- one call adds the halves of neighbouring gates, and one σ serves all of them: tanh x = 1 − 2 σ(−2x), which on CPUs
  takes half the time of PyTorch's tanh;
- one call computes a product and a sum (`addcmul`, `lerp`);
- values that do not depend on the state are computed for a block of steps before its first step, and values that the
  next step does not need after its last: for a cell without recurrent product only the recurrence stays in the loop;
- in the backward pass the factors of gradients are computed for a block of steps: the derivative is linear in the
  gradients, so each result is a sum of gradients times factors, and a step has one multiplication left for each
  gradient that an earlier step depends on.
"""

from tuirnn.kernels.inplace.backward import Backward, backward_program
from tuirnn.kernels.inplace.calls import Phases, Times, Values, column, run
from tuirnn.kernels.inplace.forward import forward_program

__all__ = ["Backward", "Phases", "Times", "Values", "backward_program", "column", "forward_program", "run"]
