"""A traced cell as short lists of PyTorch calls that write in place: what the portable loop runs at each step.

Nothing here is particular to a cell. Where the definition allows it

- the halves of neighbouring gates are added in one call, and one σ serves all of them: tanh x = 1 − 2 σ(−2x), which on
  CPUs takes half the time of PyTorch's tanh;
- a product and a sum are one call (`addcmul`, `lerp`);
- what does not depend on what the steps carry is computed for many steps at once before they are walked, what the next
  step does not need after they were: a cell without recurrent product is left with its recurrence in the loop;
- going back, what no gradient enters is multiplied up for many steps at once: the derivative is linear in the
  gradients, so each result is a sum of gradients times such factors, and a step is left with one multiplication for
  each that an earlier step depends on.
"""

from tuirnn.kernels.inplace.backward import Backward, backward_program
from tuirnn.kernels.inplace.calls import Phases, Times, Values, column, run
from tuirnn.kernels.inplace.forward import forward_program

__all__ = ["Backward", "Phases", "Times", "Values", "backward_program", "column", "forward_program", "run"]
