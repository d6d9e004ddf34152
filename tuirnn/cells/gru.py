"""GRU (Cho et al. 2014), PyTorch's gate order r, z, n, in both forms of the reset gate.

    r, z = σ, σ (gx + gh)
    after the product (PyTorch, cuDNN):   n = tanh(gx_n + r q),   q = weight_hn h + bias_hn
    before it (Cho et al.):               n = tanh(gx_n + weight_hn (r h))
    h' = (1 − z) n + z h

Backward, with δ the gradient of h', ν = δ (1−z)(1−n²) the gradient of n's argument:

    δz = δ (h − n) z(1−z)
    after:   δq = ν r,   δr = ν q r(1−r),       δh = δ z + [δr δz δq] weight_hh
    before:  δ(rh) = ν weight_hn,   δr = δ(rh) h r(1−r),   δh = δ z + δ(rh) r + [δr δz] weight_h(r,z)
"""

import torch
from torch import Tensor

from tuirnn.cells.base import Cell, Product, State, Step


class GRUAfter(Cell):
    """Reset gate applied after the recurrent product."""

    name = "gru_after"
    gates = ("r", "z", "n")
    saved_width = 1
    folds_bias = False

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations; saves q."""
        (h,), q = s.before, s.saved
        H = h.shape[-1]
        rz, n = s.a[:, : 2 * H], s.a[:, 2 * H :]
        gh = product(h)  # [B, 3H]
        r, z = rz.add_(gh[:, : 2 * H]).sigmoid_().chunk(2, -1)
        n.addcmul_(r, q.copy_(gh[:, 2 * H :])).tanh_()
        torch.lerp(n, h, z, out=s.after[0])

    def step_backward(self, s: Step, product_T: Product, dstate: State, dgh: Tensor, kept: Tensor) -> State:
        """Backward, see the module's equations; keeps ν for `dgx`."""
        (dh,), (h,), q = dstate, s.before, s.saved
        r, z, n = s.a.chunk(3, -1)
        dr, dz, dq = dgh.chunk(3, -1)
        zdh = dh * z
        torch.mul(dh, h - n, out=dz).mul_(z).mul_(1 - z)
        torch.mul(dh - zdh, torch.addcmul(n.new_ones(()), n, n, value=-1), out=kept)
        torch.mul(kept, r, out=dq)
        torch.mul(dq, q, out=dr).mul_(1 - r)
        return (product_T(dgh).add_(zdh),)

    def dgx(self, dgh: Tensor, kept: Tensor) -> Tensor:
        """The input half meets n's argument directly, not through r."""
        dgx = dgh.clone()
        dgx[..., 2 * kept.shape[-1] :] = kept
        return dgx


class GRUBefore(Cell):
    """Reset gate applied before the recurrent product."""

    name = "gru_before"
    gates = ("r", "z", "n")

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations."""
        (h,) = s.before
        H = h.shape[-1]
        rz, n = s.a[:, : 2 * H], s.a[:, 2 * H :]
        r, z = torch.sigmoid(product(h, onto=rz, rows=slice(0, 2 * H)), out=rz).chunk(2, -1)
        torch.tanh(product(r * h, onto=n, rows=slice(2 * H, 3 * H)), out=n)
        torch.lerp(n, h, z, out=s.after[0])

    def step_backward(self, s: Step, product_T: Product, dstate: State, dgh: Tensor, kept: Tensor) -> State:
        """Backward, see the module's equations."""
        (dh,), (h,) = dstate, s.before
        H = h.shape[-1]
        r, z, n = s.a.chunk(3, -1)
        dr, dz, dn = dgh.chunk(3, -1)
        zdh = dh * z
        torch.mul(dh, h - n, out=dz).mul_(z).mul_(1 - z)
        torch.mul(dh - zdh, torch.addcmul(n.new_ones(()), n, n, value=-1), out=dn)
        drh = product_T(dn, rows=slice(2 * H, 3 * H))
        zdh.addcmul_(drh, r)
        torch.mul(drh, h, out=dr).mul_(r).mul_(1 - r)
        return (product_T(dgh[:, : 2 * H], rows=slice(0, 2 * H)).add_(zdh),)

    def operands(self, before: State, a: Tensor) -> list[tuple[slice, Tensor]]:
        """weight_hn met r h, the other rows h."""
        (h,) = before
        H = h.shape[-1]
        return [(slice(0, 2 * H), h), (slice(2 * H, 3 * H), a[..., :H] * h)]
