"""Training a forecaster: its loss, and its evaluation one step ahead, rolled out, and beside the last value."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuirnn.config import RunConfig
from tuirnn.errors import one_line
from tuirnn.models import SequenceModel
from tuirnn.scaling import Scaling, Series
from tuirnn.tasks.forecast.data import SeriesData, learns_every_step, look_back
from tuirnn.tasks.forecast.rollout import Figures, brief, measure
from tuirnn.training.evaluation import evaluating
from tuirnn.training.evaluator import PROBE_LANES, PROBE_ROWS, Evaluation, Evaluator
from tuirnn.training.losses import SquaredError
from tuirnn.training.tasks import Half

SHOWN_COLUMNS, SHOWN_POINTS = 8, 1_000
"""As much of a roll-out as an evaluation writes down."""


def make_loss(config: RunConfig, data: SeriesData, device: torch.device) -> SquaredError:
    """Mean squared error, in squared deviations."""
    return SquaredError(learns_every_step(config.train), gaps=data.real is not None)


class ForecastEvaluator(Evaluator[SeriesData]):
    """Held-out errors, a roll-out beside the truth, and the probes."""

    def measure(self, step: int) -> Evaluation:
        """See `Evaluator.measure`."""
        train, scaling = self.config.train, self.data.scaling
        values, first = self.data.until("val")
        with evaluating(self.model):
            reader = ModelReader(self.model, scaling, self.device)
            back, horizon = look_back(train), train.horizon
            seen = measure(
                reader, values, first, scaling, look_back=back, horizon=horizon, real=self.data.real_until("val"),
                check=self.check,
            )  # fmt: skip
            probed = self.probe(SquaredError(learns_every_step(train)), *self._probe_batch())
        figures = {
            "mae": seen.absolute(seen.mae),
            "rollout_rmse": seen.overall(seen.rollout_rmse**2) ** 0.5,
            "naive_loss": seen.overall(seen.naive_mse),
        }
        ahead = {f"rmse_{h}": seen.overall(seen.rmse[h - 1] ** 2) ** 0.5 for h in seen.horizons}
        samples = ({"kind": "forecast", **_shown(seen)},)
        return Evaluation(seen.loss, figures, brief(seen), probed, more=ahead, samples=samples)

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


HALF = Half(make_loss, ForecastEvaluator)
