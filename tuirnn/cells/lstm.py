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

from tuirnn.cells.base import Cell, Product, State


class LSTM(Cell):
    """The module's equations."""

    name = "lstm"
    gates = ("i", "f", "g", "o")
    state_names = ("h", "c")

    def step(self, a: Tensor, product: Product, state: State, out: State, saved: Tensor) -> None:
        """Forward, see the module's equations."""
        h, c = state
        h_next, c_next = out
        H = h.shape[-1]
        product(h, onto=a)  # [B, 4H]
        i, f, g, o = a.chunk(4, -1)
        a[:, : 2 * H].sigmoid_()
        g.tanh_()
        o.sigmoid_()
        torch.mul(f, c, out=c_next).addcmul_(i, g)
        torch.tanh(c_next, out=h_next).mul_(o)

    def step_backward(
        self,
        dstate: State,
        a: Tensor,
        before: State,
        after: State,
        saved: Tensor,
        product_T: Product,
        dgh: Tensor,
        kept: Tensor,
    ) -> State:
        """Backward, see the module's equations."""
        dh, dc = dstate
        c, c_next = before[1], after[1]
        i, f, g, o = a.chunk(4, -1)
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
