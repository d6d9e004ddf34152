"""A traced cell as short lists of PyTorch calls that write in place: what the portable loop runs at each step.

Nothing here is particular to a cell. Where the definition allows it

- the halves of neighbouring gates are added in one call, and one σ serves all of them: tanh x = 1 − 2 σ(−2x), which on
  CPUs takes half the time of PyTorch's tanh;
- a product and a sum are one call (`addcmul`, `lerp`);
- going back, what no gradient enters is multiplied up for many steps at once: the derivative is linear in the
  gradients, so each result is a sum of gradients times such factors, and a step is left with one multiplication for
  each.
"""

from tuirnn.kernels.inplace.backward import Backward, backward_program
from tuirnn.kernels.inplace.calls import Values, column, constants, run
from tuirnn.kernels.inplace.forward import Forward, forward_program

__all__ = ["Backward", "Forward", "Values", "backward_program", "column", "constants", "forward_program", "run"]
