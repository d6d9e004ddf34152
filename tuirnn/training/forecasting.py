"""Judging a forecaster: one step ahead, rolled out, and beside saying the last value again."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuirnn.errors import one_line
from tuirnn.models import SequenceModel
from tuirnn.scaling import Scaling
from tuirnn.tasks import TaskData
from tuirnn.tasks.forecast import Series, SeriesData, learns_every_step, look_back
from tuirnn.tasks.rollout import Figures, brief, measure
from tuirnn.training.evaluation import evaluating
from tuirnn.training.losses import SquaredError
from tuirnn.training.observer import PROBE_LANES, PROBE_ROWS, Look, Observer
from tuirnn.training.probes import probe

SHOWN_COLUMNS, SHOWN_POINTS = 8, 1_000
"""As much of a roll-out as an evaluation writes down."""


class ForecastObserver(Observer):
    """Held-out errors, a roll-out beside the truth, and the probes."""

    def take(self, data: TaskData) -> None:
        """A series."""
        assert isinstance(data, SeriesData)
        self.data = data

    def look(self, step: int) -> Look:
        """See `Observer.look`."""
        train = self.config.train
        values, first = self.data.until("val")
        with evaluating(self.model):
            reader = ModelReader(self.model, self.data.scaling, self.device)
            seen = measure(
                reader,
                values,
                first,
                self.data.scaling,
                look_back=look_back(train),
                horizon=train.horizon,
                check=self.check,
            )
            inside = probe(self.model, SquaredError(learns_every_step(train)), *self._probe_batch())
        figures = {
            "mae": seen.absolute(seen.mae),
            "rollout_rmse": seen.overall(seen.rollout_rmse**2) ** 0.5,
            "naive_loss": seen.overall(seen.naive_mse),
        }
        ahead = {f"rmse_{h}": seen.overall(seen.rmse[h - 1] ** 2) ** 0.5 for h in seen.horizons}
        look = Look(seen.loss, brief(seen), figures)
        self.write(step, look, {**figures, **ahead}, {"step": step, "kind": "forecast", **_shown(seen)})
        self.writer.append("probes", {"step": step, **inside})
        return look

    def _probe_batch(self) -> tuple[Tensor, Tensor]:
        """The first held-out points as a few sequences of the training length: x and y [T, lanes, F]."""
        values, first = self.data.until("val")
        T = min(self.config.train.seq_len, len(values) - 1)
        lanes = max(1, min(PROBE_LANES, PROBE_ROWS // T, (len(values) - first) // T))
        begin = max(0, min(first, len(values) - lanes * T - 1))
        points = self.data.scaling.normalise(values[begin : begin + lanes * T + 1]).astype(np.float32)
        held = torch.from_numpy(points).to(self.device)
        return held[:-1].view(lanes, T, -1).transpose(0, 1), held[1:].view(lanes, T, -1).transpose(0, 1)


class ModelReader:
    """A network that is being trained, as `tasks.rollout.Reader`."""

    def __init__(self, model: SequenceModel, scaling: Scaling, device: torch.device) -> None:
        self.model, self.scaling, self.device = model, scaling, device

    def begin(self, batch: int) -> None:
        """See `Reader.begin`."""
        self._state = self.model.zero_state(batch)

    def read(self, x: Series) -> Series:
        """See `Reader.read`."""
        points = torch.from_numpy(self.scaling.normalise(x).astype(np.float32)).to(self.device)
        answers, self._state = self.model(points, self._state)
        return self.scaling.restore(answers.double().cpu().numpy())


def _shown(seen: Figures) -> dict[str, Any]:
    """The first roll-out for viewers, in the data's own units: `truth` and `forecast` are lists of points."""
    names = [one_line(name, 60) for name in seen.scaling.columns[:SHOWN_COLUMNS]]
    curves = {
        key: [[float(f"{v:.6g}") for v in point[:SHOWN_COLUMNS]] for point in getattr(seen, key)[:SHOWN_POINTS]]
        for key in ("truth", "forecast")
    }
    return {"columns": names, **curves}
