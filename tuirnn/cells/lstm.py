"""LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), PyTorch's gate order i, f, g, o.

    i, f, g, o = σ, σ, tanh, σ (gx + gh)
    c' = f c + i g
    h' = o tanh(c')

Backward, with δ the gradients of the state after the step:

    δc' += δh' o (1 − tanh²c')
    δi, δf, δg, δo = δc' g i(1−i),  δc' c f(1−f),  δc' i (1−g²),  δh' tanh(c') o(1−o)
    δgh = [δi δf δg δo]        δh = δgh weight_hh        δc = δc' f
"""

import torch
from torch import Tensor

from tuirnn.cells.base import Cell, Product, State, Step


class LSTM(Cell):
    """The module's equations."""

    name = "lstm"
    gates = ("i", "f", "g", "o")
    state_names = ("h", "c")

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations."""
        (h, c), (h_next, c_next), a = s.before, s.after, s.a
        i, f, g, o = product(h, onto=a).chunk(4, -1)  # each [B, H]
        a[:, : 2 * h.shape[-1]].sigmoid_()  # i and f at once
        g.tanh_()
        o.sigmoid_()
        torch.mul(f, c, out=c_next).addcmul_(i, g)
        torch.tanh(c_next, out=h_next).mul_(o)

    def step_backward(self, s: Step, product_T: Product, dstate: State, dgh: Tensor, kept: Tensor) -> State:
        """Backward, see the module's equations."""
        (dh, dc), c, c_next = dstate, s.before[1], s.after[1]
        i, f, g, o = s.a.chunk(4, -1)
        di, df, dg, do = dgh.chunk(4, -1)
        tanh_c = c_next.tanh()
        torch.mul(dh, o, out=do)  # δh' o, until δo takes its place
        dc = torch.addcmul(dc.add_(do), do.mul(tanh_c), tanh_c, value=-1)
        do.mul_(1 - o).mul_(tanh_c)
        torch.mul(dc, i, out=dg)
        torch.mul(dg, g, out=di).mul_(1 - i)
        dg.addcmul_(dg * g, g, value=-1)
        dc_prev = dc * f
        torch.mul(dc_prev, c, out=df).mul_(1 - f)
        return product_T(dgh), dc_prev
