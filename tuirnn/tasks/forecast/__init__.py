"""Forecasting: how does a series of numbers go on?"""

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tuirnn.errors import ConfigError, one_line
from tuirnn.figures import Figure, number
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.builtin import SINCOS
from tuirnn.tasks.history import Forecast, History
from tuirnn.tasks.task import Held, Interface, OpenCell, Report, Task, TaskData, Understood

if TYPE_CHECKING:
    from tuirnn.vocab import Vocabulary


class Forecasting(Task):
    """See the module."""

    name = "forecast"
    noun = "forecaster"
    short = "series"
    learns = "the next point of a series of numbers"
    does = "forecasts numbers"
    source = "a series of numbers"
    default_source = SINCOS
    figures = (
        Figure("loss", "MSE, one step", "σ²"),
        Figure("rollout_rmse", "RMSE, {horizon} steps", "σ"),
        Figure("mae", "MAE, one step", "σ"),
        Figure("mase", "MASE, one step"),
        Figure("naive_loss", "MSE of the last value", "σ²", higher=None),
        Figure("seasonal_loss", "MSE of seasonal naive", "σ²", higher=None),
    )
    loss_in = ("squared deviations", "points")
    settings = frozenset(
        {
            "columns", "horizon", "every_step", "batches", "seq_len", "time_column", "group_column", "scale", "season",
            "calendar", "date_order", "delimiter", "decimal", "header", "missing", "encoding",
        }
    )  # fmt: skip
    defaults = MappingProxyType({"test_fraction": 0.1})
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
        from tuirnn.tasks.forecast.data import one_table, understood

        further, found = understood(one_table(list(files)), config)
        return (*found.notes, *further, f"to learn: {one_line(', '.join(found.columns), 200)}"), found.read

    def named(self, metadata: Interface) -> TaskData:
        """See `Task.named`."""
        raise ConfigError("a cell file has no series of its own; name a table of numbers")

    def suited(self, data: TaskData, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `Task.suited`."""
        from tuirnn.tasks.forecast import defaults
        from tuirnn.tasks.forecast.data import SeriesData

        assert isinstance(data, SeriesData)
        return defaults.suited(data, given)

    def look_back(self, config: TrainConfig) -> int:
        """See `Task.look_back`."""
        from tuirnn.tasks.forecast.data import look_back

        return look_back(config)

    def scale(self, data: DataConfig, summary: Mapping[str, Any], symbols: int) -> Hashable:
        """Errors are in the deviations of a series, or of its differences."""
        return repr((summary.get("columns"), summary.get("std"), summary.get("steps")))

    def told(self, values: Mapping[str, float], unit: str) -> str:
        """See `Task.told`."""
        naive = f"last value: {values['naive_loss']:.3g}"
        if (seasonal := values.get("seasonal_loss", math.nan)) == seasonal:
            naive += f", seasonal naive: {seasonal:.3g}"
        mase = values.get("mase", math.nan)
        scaled = "" if math.isnan(mase) else f", MASE {number(mase)}"
        return (
            f"MSE {number(values['val_loss'], 4)} one step ahead ({naive}){scaled}, "
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
        found = measure(cell, data.held("val", 1), origins=1)
        return found.loss, found.points

    def evaluate(self, cell: OpenCell, held: Held) -> Report:
        """On the test part of its run's data, or the validation part where there is none; or on a table."""
        from tuirnn.tasks.forecast.prediction import measure
        from tuirnn.tasks.forecast.report import describe, remarks

        found = self.histories(cell, held)
        figures = measure(cell, found, origins=held.origins)
        groups = f", {len(found):,} series" if len(found) > 1 else ""
        what = found[0].what
        return Report(
            {"on": what, "series": len(found), **figures.to_json()},
            [
                f"{cell.name} on {what}{groups}: {figures.points:,} points one step ahead, {figures.origins} roll-outs",
                *describe(figures).splitlines(),
                "in the data's own units; 'last': the last value repeated; 'seasonal': the value one season before; "
                "+h: RMSE of the h-th point of a roll-out",
                *remarks(figures),
            ],
            list(found[0].notes),
        )

    def histories(self, cell: OpenCell, held: Held, *, whole: bool = False) -> list[History]:
        """See `Task.histories`."""
        from tuirnn.tasks.forecast import prediction

        return prediction.histories(cell, held, whole=whole)

    def go_on(self, cell: OpenCell, history: History, horizon: int) -> Forecast:
        """See `Task.go_on`."""
        from tuirnn.tasks.forecast import prediction

        return prediction.go_on(cell, history, horizon)


TASK = Forecasting()
