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
from tuirnn.cells.functions import MINUS_TWO, sigmoid_for_tanh, tanh, tanh_of_sigmoid


class LSTM(Cell):
    """The module's equations."""

    name = "lstm"
    gates = ("i", "f", "g", "o")
    state_names = ("h", "c")

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations; all gates in one call of σ, with tanh x = 1 − 2 σ(−2x)."""
        (h, c), (h_next, c_next), (i, f, g, o) = s.before, s.after, s.gates
        s.a.add_(product(h))
        g.mul_(MINUS_TWO)
        s.a.sigmoid_()
        tanh_of_sigmoid(g)
        torch.mul(f, c, out=c_next).addcmul_(i, g)
        torch.addcmul(o, o, sigmoid_for_tanh(c_next, h_next), value=-2, out=h_next)

    def factors(self, s: Step) -> tuple[Tensor, ...]:
        """δi, δf, δg over δc' and δo over δh' in `a`; then δc' over δh', δc over δc', and the views of `a`.

        x (1 − y) is written x − x y, and o tanh(c') is h'.
        """
        c, (h_next, c_next) = s.before[1], s.after
        i, f, g, o = di, df, dg, do = s.gates  # each is overwritten when it has been read for the last time
        dc_dh = torch.addcmul(o, h_next, tanh(c_next, torch.empty_like(c)), value=-1)
        torch.addcmul(h_next, h_next, o, value=-1, out=do)
        forget, ig, fc = f.clone(), i * g, f * c
        torch.addcmul(i, ig, g, value=-1, out=dg)
        torch.addcmul(ig, ig, i, value=-1, out=di)
        torch.addcmul(fc, fc, f, value=-1, out=df)
        d_ifg = s.a.view(*c.shape[:-1], 4, -1)[..., :3, :]  # [t, B, 3, H]
        return dc_dh, forget, d_ifg, do

    def step_backward(
        self, dgh: Tensor, kept: Tensor, factors: tuple[Tensor, ...], product_T: Product, dstate: State
    ) -> State:
        """Backward, see the module's equations."""
        (dh, dc), (dc_dh, forget, d_ifg, do) = dstate, factors
        dc.addcmul_(dh, dc_dh)
        d_ifg.mul_(dc.unsqueeze(1))
        do.mul_(dh)
        return product_T(dgh), dc * forget
