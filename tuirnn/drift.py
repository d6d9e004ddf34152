"""How far ONNX Runtime strays from PyTorch on the same run: logits step by step, and greedy text.

It needs both wings, which never import each other, and so stands above them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load as load_tensors

from tuirnn.export.exporter import export_run
from tuirnn.models import SequenceModel
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_record
from tuirnn.runtime.data import run_text
from tuirnn.runtime.session import CellSession
from tuirnn.training.learner import build_model
from tuirnn.vocab import Ids

DRIFT_BOUND = 1e-5
"""For logits within ±16, where float32 resolves 1e-6; in proportion beyond, as float32's own steps grow."""

LARGE_LOGIT = 16.0
CHUNK = 500


@dataclass(frozen=True)
class Drift:
    """`worst`: largest |Δlogit| over `steps` carried steps, `largest`: largest |logit|; `greedy`: first greedy tokens
    that agree, of `asked`."""

    worst: float
    largest: float
    steps: int
    greedy: int
    asked: int

    @property
    def bound(self) -> float:
        """What `worst` may be."""
        return DRIFT_BOUND * max(1.0, self.largest / LARGE_LOGIT)


def measure(paths: RunPaths, *, steps: int = 10_000, greedy: int = 1_000) -> Drift:
    """Compare a run's exported cell with the trained model on held-out text, on the CPU.

    The model computes in float64 on the same weights, so that the figure is the cell file's error alone.

    Args:
        paths: the run.
        steps: tokens fed one by one, the state carried; a shorter text is read again.
        greedy: tokens that both choose for themselves.
    """
    record = read_record(paths)
    data = run_text(paths)
    session = CellSession(export_run(paths), device="cpu")
    model = build_model(record.computed, data)
    model.load_state_dict(load_tensors(checkpoint.load(paths, "best").files[checkpoint.MODEL]), strict=False)
    model.eval().double()
    model.compute_dtype = torch.float64
    with torch.no_grad():
        worst, largest = _logits(model, session, np.resize(data.val[:steps], steps).astype(np.int64))
        session.reset()
        same = _greedy(model, session, int(data.val[0]), greedy)
    return Drift(worst, largest, steps, same, greedy)


def _logits(model: SequenceModel, session: CellSession, ids: Ids) -> tuple[float, float]:
    worst, largest, state = 0.0, 0.0, model.zero_state(1)
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        expected, state = model(torch.from_numpy(part)[:, None], state)
        got = np.stack([session.step(int(token))[0].copy() for token in part])
        worst = max(worst, float(np.abs(got - expected[:, 0].numpy()).max()))
        largest = max(largest, float(expected.abs().max()))
    return worst, largest


def _greedy(model: SequenceModel, session: CellSession, first: int, length: int) -> int:
    ours = theirs = first
    state = model.zero_state(1)
    for count in range(length):
        logits, state = model(torch.tensor([[theirs]]), state)
        theirs = int(logits[0, 0].argmax())
        ours = int(session.step(ours)[0].argmax())
        if ours != theirs:
            return count
    return length
