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
        (h, c), (h_next, c_next), H = s.before, s.after, s.before[0].shape[-1]
        gx_gh = product(h, onto=s.a)
        i, f, g, o = s.a.chunk(4, -1)  # each [B, H]
        torch.sigmoid(gx_gh[:, : 2 * H], out=s.a[:, : 2 * H])  # i and f at once
        torch.tanh(gx_gh[:, 2 * H : 3 * H], out=g)
        torch.sigmoid(gx_gh[:, 3 * H :], out=o)
        torch.mul(f, c, out=c_next).addcmul_(i, g)
        torch.tanh(c_next, out=h_next).mul_(o)

    def step_backward(self, s: Step, product_T: Product, dstate: State, dgh: Tensor, kept: Tensor) -> State:
        """Backward, see the module's equations; x (1 − y) is written x − x y, one operation instead of two."""
        (dh, dc), c, c_next = dstate, s.before[1], s.after[1]
        H = c.shape[-1]
        i, f, g, o = s.a.chunk(4, -1)
        di, df, dg, do = dgh.chunk(4, -1)
        tanh_c, dh_o = c_next.tanh(), dh * o
        torch.mul(dh_o, tanh_c, out=do)
        dc.add_(dh_o).addcmul_(do, tanh_c, value=-1)
        do.addcmul_(do, o, value=-1)
        torch.mul(dc, i, out=dg)
        torch.mul(dg, g, out=di)
        dg.addcmul_(di, g, value=-1)
        dc_prev = dc * f
        torch.mul(dc_prev, c, out=df)
        d_if = dgh[:, : 2 * H]
        d_if.addcmul_(d_if, s.a[:, : 2 * H], value=-1)  # i and f at once
        return product_T(dgh), dc_prev
