"""Training a forecaster: its loss, and its evaluation one step ahead, rolled out, and beside the last value."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuirnn.calibration import LAST, NETWORK, SEASONAL, Calibration
from tuirnn.config import RunConfig
from tuirnn.errors import one_line
from tuirnn.models import SequenceModel
from tuirnn.scaling import Scaling, Series
from tuirnn.tasks.forecast.data import SeriesData, learns_every_step, look_back
from tuirnn.tasks.forecast.figures import Figures, calibrate
from tuirnn.tasks.forecast.report import brief
from tuirnn.tasks.forecast.rollout import CALIBRATING, measure
from tuirnn.tasks.history import History
from tuirnn.training.evaluation import evaluating
from tuirnn.training.evaluator import PROBE_LANES, PROBE_ROWS, Evaluation, Evaluator
from tuirnn.training.losses import SquaredError
from tuirnn.training.tasks import Half

SHOWN_COLUMNS, SHOWN_POINTS, SHOWN_HISTORY = 8, 1_000, 100
"""As much of a roll-out, and of the series before it, as an evaluation writes down."""


def make_loss(config: RunConfig, data: SeriesData, device: torch.device) -> SquaredError:
    """Mean squared error, in squared deviations."""
    return SquaredError(learns_every_step(config.train), gaps=data.real is not None)


class ForecastEvaluator(Evaluator[SeriesData]):
    """Held-out errors, a roll-out beside the truth, and the probes."""

    def measure(self, step: int) -> Evaluation:
        """See `Evaluator.measure`."""
        train, scaling, data = self.config.train, self.data.scaling, self.data
        with evaluating(self.model):
            seen = measure(
                ModelReader(self.model, scaling, self.device), data.held("val", train.horizon), scaling,
                look_back=look_back(train), season=data.season, naive_mae=data.naive_mae, origins=CALIBRATING,
                check=self.check,
            )  # fmt: skip
            probed = self.probe(
                SquaredError(learns_every_step(train), gaps=data.real is not None), *self._probe_batch()
            )
        seasonal = seen.errors.get(SEASONAL)
        figures = {
            "mae": float((seen.network.mae / scaling.unit).mean()),
            "rollout_rmse": seen.overall(seen.network.rollout_rmse**2) ** 0.5,
            "mase": float(seen.mase(seen.network).mean()),
            "naive_loss": seen.overall(seen.errors[LAST].mse),
            "seasonal_loss": seen.overall(seasonal.mse) if seasonal else math.nan,
        }
        ahead = {f"rmse_{h}": seen.overall(seen.network.rmse[h - 1] ** 2) ** 0.5 for h in seen.horizons}
        fitted = calibrate(seen)
        history = data.held("val", train.horizon)[0]
        samples = ({"kind": "forecast", **_shown(seen, fitted, history)},)
        kept = {"calibration": fitted.to_json()}
        return Evaluation(seen.loss, figures, brief(seen), probed, more=ahead, samples=samples, kept=kept)

    def _probe_batch(self) -> tuple[Tensor, Tensor]:
        """The first held-out points as a few sequences of the training length: x and y [T, lanes, F]."""
        history = self.data.held("val", 1)[0]
        n, first = len(history.values), history.first
        T = min(self.config.train.seq_len, n - 1)
        lanes = max(1, min(PROBE_LANES, PROBE_ROWS // T, (n - first) // T))
        begin = max(0, min(first, n - lanes * T - 1))
        group = next(group for group in self.data.groups if group.name == history.group)
        at = group.first + begin
        points, targets = self.data.network_rows(group, at, at + lanes * T + 1)
        x, y = (torch.from_numpy(part).to(self.device) for part in (points[:-1], targets[1:]))
        return x.view(lanes, T, -1).transpose(0, 1), y.view(lanes, T, -1).transpose(0, 1)


class ModelReader:
    """A network that is being trained, as `tasks.rollout.Reader`."""

    def __init__(self, model: SequenceModel, scaling: Scaling, device: torch.device) -> None:
        self.model, self.scaling, self.device = model, scaling, device

    def begin(self, batch: int) -> None:
        """See `Reader.begin`."""
        self._state = self.model.zero_state(batch)
        self._before: Series | None = None

    def read(self, x: Series) -> Series:
        """See `Reader.read`."""
        before = np.concatenate([x[:1] if self._before is None else self._before, x[:-1]])
        self._before = x[-1:]
        points = torch.from_numpy(self.scaling.fed(x, before).astype(np.float32)).to(self.device)
        answers, self._state = self.model(points, self._state)
        return self.scaling.answered(answers.double().cpu().numpy(), x)


def _shown(seen: Figures, calibration: Calibration, history: History) -> dict[str, Any]:
    """The first roll-out for viewers, in the data's own units; each of the values is a list of points.

    `history` is what came before it; `times` those of both, where there are any. `widths` are half of its intervals'
    widths, null where a column is not forecast by the network.
    """
    names = [one_line(name, 60) for name in seen.scaling.columns[:SHOWN_COLUMNS]]
    widths = calibration.half_widths(len(seen.forecast))
    widths[:, [by != NETWORK for by in calibration.rollout]] = np.nan
    before = history.values[: history.first][-SHOWN_HISTORY:]
    parts = {"history": before, "truth": seen.truth, "forecast": seen.forecast, "widths": widths}
    shown: dict[str, Any] = {"columns": names, **{key: _points(values) for key, values in parts.items()}}
    if history.clock is not None:
        end = min(history.first + len(seen.forecast[:SHOWN_POINTS]), len(history.values))
        shown["times"] = history.clock.part(history.first - len(before), end).labels(
            len(before) + len(seen.forecast), 0
        )
    return shown


def _points(values: Series) -> list[list[float | None]]:
    """Points in few digits; null for what is no finite number."""
    few = values[:SHOWN_POINTS, :SHOWN_COLUMNS]
    return [[float(f"{v:.6g}") if math.isfinite(v) else None for v in point] for point in few.tolist()]


HALF = Half(make_loss, ForecastEvaluator)
