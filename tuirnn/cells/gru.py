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
from tuirnn.cells.functions import ONE, tanh


class GRUAfter(Cell):
    """Reset gate applied after the recurrent product."""

    name = "gru_after"
    gates = ("r", "z", "n")
    saved_width = 1
    folds_bias = False

    def step(self, s: Step, product: Product) -> None:
        """Forward, see the module's equations; saves q."""
        (h,), q, (r, z, n) = s.before, s.saved, s.gates
        H = h.shape[-1]
        gh = product(h)  # [B, 3H]
        s.a[:, : 2 * H].add_(gh[:, : 2 * H]).sigmoid_()  # r and z
        tanh(n.addcmul_(r, q.copy_(gh[:, 2 * H :])), out=n)
        torch.lerp(n, h, z, out=s.after[0])

    def factors(self, s: Step) -> tuple[Tensor, ...]:
        """δr, δz, δq over δ in `a`, ν over δ in `saved`; then z and the view of `a`."""
        (h,), (r, z, n), (dr, dz, dq) = s.before, s.gates, s.gates  # each gate is overwritten when it has been read
        q = nu = s.saved
        qr, update = q * r, z.clone()
        _nu_and_dz(h, z, n, nu, dz)
        torch.mul(nu, r, out=dq)
        torch.addcmul(qr, qr, r, value=-1, out=dr).mul_(nu)
        return update, s.a.view(*h.shape[:-1], 3, -1)

    def step_backward(
        self, dgh: Tensor, kept: Tensor, factors: tuple[Tensor, ...], product_T: Product, dstate: State
    ) -> State:
        """Backward, see the module's equations; leaves ν in `kept` for `dgx`."""
        (dh,), (z, gates) = dstate, factors
        gates.mul_(dh.unsqueeze(1))
        kept.mul_(dh)
        return (product_T(dgh).addcmul_(dh, z),)

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
        (h,), (r, z, n) = s.before, s.gates
        H = h.shape[-1]
        s.a[:, : 2 * H].add_(product(h, rows=slice(0, 2 * H))).sigmoid_()  # r and z
        tanh(n.add_(product(r * h, rows=slice(2 * H, 3 * H))), out=n)
        torch.lerp(n, h, z, out=s.after[0])

    def factors(self, s: Step) -> tuple[Tensor, ...]:
        """δr over δ(rh), δz and ν over δ in `a`; then z, r and the views of `a`."""
        (h,), (r, z, n), (dr, dz, nu) = s.before, s.gates, s.gates
        reset, update, hr = r.clone(), z.clone(), h * r
        _nu_and_dz(h, z, n, nu, dz)
        torch.addcmul(hr, hr, r, value=-1, out=dr)
        return update, reset, dr, s.a.view(*h.shape[:-1], 3, -1)[..., 1:, :]

    def step_backward(
        self, dgh: Tensor, kept: Tensor, factors: tuple[Tensor, ...], product_T: Product, dstate: State
    ) -> State:
        """Backward, see the module's equations."""
        (dh,), (z, r, dr, dz_nu) = dstate, factors
        H = dh.shape[-1]
        dz_nu.mul_(dh.unsqueeze(1))
        drh = product_T(dgh[:, 2 * H :], rows=slice(2 * H, 3 * H))
        dr.mul_(drh)
        return (product_T(dgh[:, : 2 * H], rows=slice(0, 2 * H)).addcmul_(dh, z).addcmul_(drh, r),)

    def operands(self, before: State, a: Tensor) -> list[tuple[slice, Tensor]]:
        """weight_hn met r h, the other rows h."""
        (h,) = before
        H = h.shape[-1]
        return [(slice(0, 2 * H), h), (slice(2 * H, 3 * H), a[..., :H] * h)]


def _nu_and_dz(h: Tensor, z: Tensor, n: Tensor, nu: Tensor, dz: Tensor) -> None:
    """ν and δz over δ, (1−z)(1−n²) and (h−n) z(1−z), in `nu` and `dz`, which may be n and z."""
    z_not_z, n_n = torch.addcmul(z, z, z, value=-1), n * n
    h_n = h - n
    torch.addcmul(ONE, n_n, ONE, value=-1, out=nu)
    nu.addcmul_(nu, z, value=-1)
    torch.mul(h_n, z_not_z, out=dz)
