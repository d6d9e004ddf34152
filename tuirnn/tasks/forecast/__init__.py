"""Forecasting: how does a series of numbers go on?"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuirnn.errors import ConfigError, one_line
from tuirnn.figures import Figure, number
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.builtin import SINCOS
from tuirnn.tasks.task import Held, History, Interface, OpenCell, Report, Task, TaskData, Understood

if TYPE_CHECKING:
    from tuirnn.scaling import Series
    from tuirnn.vocab import Vocabulary


class Forecasting(Task):
    """See the module."""

    name = "forecast"
    noun = "forecaster"
    learns = "the next point of a series of numbers"
    does = "forecasts numbers"
    source = "a series of numbers"
    default_source = SINCOS
    figures = (
        Figure("loss", "MSE, one step", "σ²"),
        Figure("rollout_rmse", "RMSE, {horizon} steps", "σ"),
        Figure("mae", "MAE, one step", "σ"),
        Figure("naive_loss", "MSE of the last value", "σ²", higher=None),
    )
    loss_in = ("squared deviations", "points")
    settings = frozenset(
        {
            "columns", "horizon", "every_step", "batches", "seq_len", "time_column", "date_order", "delimiter",
            "decimal", "header", "missing", "encoding",
        }
    )  # fmt: skip
    points = True
    speed = "points"
    python = "Forecaster"

    def load(
        self,
        config: DataConfig,
        *,
        vocab: "Vocabulary | None" = None,
        known: Mapping[str, Any] | None = None,
        stdin: Path | None = None,
    ) -> TaskData:
        """See `Task.load`."""
        from tuirnn.tasks.forecast import data

        return data.load(config, known=known, stdin=stdin)

    def understand(self, config: DataConfig, files: Sequence[tuple[str, bytes]]) -> Understood:
        """See `Task.understand`."""
        from tuirnn.tasks.forecast import reading
        from tuirnn.tasks.forecast.data import one_table

        found = reading.new_series(one_table(list(files)), config)
        return (*found.notes, f"to learn: {one_line(', '.join(found.columns), 200)}"), found.read

    def named(self, metadata: Interface) -> TaskData:
        """See `Task.named`."""
        raise ConfigError("a cell file has no series of its own; name a table of numbers")

    def look_back(self, config: TrainConfig) -> int:
        """See `Task.look_back`."""
        from tuirnn.tasks.forecast.data import look_back

        return look_back(config)

    def scale(self, data: DataConfig, summary: Mapping[str, Any], symbols: int) -> Hashable:
        """Errors are in the deviations of a series."""
        return repr((summary.get("columns"), summary.get("std")))

    def told(self, values: Mapping[str, float], unit: str) -> str:
        """See `Task.told`."""
        return (
            f"MSE {number(values['val_loss'], 4)} one step ahead (last value: {values['naive_loss']:.3g}), "
            f"RMSE {values['rollout_rmse']:.3g} rolled out"
        )

    def hint(self, model: str) -> str:
        """See `Task.hint`."""
        return f"predict {model} DATA.csv"

    def weigh(self, cell: OpenCell, data: TaskData) -> tuple[float, int]:
        """See `Task.weigh`."""
        from tuirnn.tasks.forecast.data import SeriesData
        from tuirnn.tasks.forecast.prediction import measure

        assert isinstance(data, SeriesData)
        found = measure(cell, *data.until("val"), horizon=1, real=data.real_until("val"))
        return found.loss, found.points

    def evaluate(self, cell: OpenCell, held: Held) -> Report:
        """On the test part of its run's data, or the validation part where there is none; or on a table."""
        from tuirnn.tasks.forecast.prediction import measure
        from tuirnn.tasks.forecast.rollout import describe

        series = self.history(cell, held)
        found = measure(cell, series.values, series.first, horizon=series.horizon, real=series.real)
        return Report(
            {"on": series.what, **found.to_json()},
            [
                f"{cell.name} on {series.what}: {found.points:,} points one step ahead, {found.origins} roll-outs",
                *describe(found).splitlines(),
                "in the data's own units; 'last': the last value said again; +h: RMSE of the h-th point of a roll-out",
            ],
            list(series.notes),
        )

    def history(self, cell: OpenCell, held: Held, *, whole: bool = False) -> History:
        """See `Task.history`."""
        from tuirnn.tasks.forecast import prediction

        return prediction.history(cell, held, whole=whole)

    def go_on(self, cell: OpenCell, history: "Series", horizon: int) -> "Series":
        """See `Task.go_on`."""
        from tuirnn.tasks.forecast import prediction

        return prediction.go_on(cell, history, horizon)


TASK = Forecasting()
