"""What the status of a run says besides its figures."""

import math

import pytest
from textual.app import App, ComposeResult

from tuirnn.runs.reader import Status
from tuirnn.tui.widgets.status_panel import StatusPanel


class Alone(App[None]):
    """The panel and nothing else."""

    def compose(self) -> ComposeResult:
        yield StatusPanel()


@pytest.mark.parametrize(
    ("size", "val_loss", "state", "said"),
    [
        ((60, 4), math.nan, "running", "val in 1:30"),
        ((60, 4), 1.5, "running", "val 1.500"),
        ((60, 4), math.nan, "done", "val –"),
        ((30, 30), 1.5, "running", "evaluates in              1:30"),
        ((30, 30), 1.5, "done", ""),
    ],
)
async def test_the_wait_for_an_evaluation(size: tuple[int, int], val_loss: float, state: str, said: str) -> None:
    app = Alone()
    async with app.run_test(size=size) as pilot:
        panel = app.query_one(StatusPanel)
        panel.show(Status(state=state, step=7, val_loss=val_loss, next_eval=90.0, eta=600.0))
        await pilot.pause()
        shown = panel.render().plain
        assert said in shown
        assert ("evaluates in" in shown) == ("evaluates in" in said)
