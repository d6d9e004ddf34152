"""What `train --json` prints: the keys of each event, which scripts read."""

import pytest

from tuirnn.cli import progress
from tuirnn.config import RunConfig
from tuirnn.training import events

FIGURES = {"val_loss_blocks": 1.5}


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        (events.Start(0, "one", 9, 5, "cpu", 1, "fox.txt", 27, 10**6, 27),
         "event step run total parameters device processes data vocab memory outputs"),
        (events.Step(1, 3.0, 0.5, 0.01, 0.1, 900.0, 2.0),
         "event step loss grad_norm lr progress tokens_per_s eta next_eval"),
        (events.Evaluation(5, 2.0, FIGURES, leaky=False, best=True), "event step val_loss val_loss_blocks best"),
        (events.Evaluation(5, 2.0, FIGURES, leaky=True, best=True), "event step val_loss val_loss_blocks leaky best"),
        (events.Sample(5, "the fox"), "event step text"),
        (events.Checkpoint(5), "event step"),
        (events.Note(5, "mind"), "event step message"),
        (events.End(9, "one", "done", 2.0, 5, 2.1, FIGURES, leaky=False, seconds=3.0, tokens_per_s=900.0),
         "event step run outcome best_val_loss best_step val_loss val_loss_blocks seconds tokens_per_s"),
    ],
)  # fmt: skip
def test_events_keep_the_keys_that_scripts_read(event: events.Event, keys: str) -> None:
    values = events.to_json(event)
    assert " ".join(values) == keys
    assert values["event"] == event.kind


@pytest.mark.parametrize(("minutes", "eta", "told"), [(0.0, 3600.0, True), (0.0, 20.0, False), (3.0, 3600.0, False)])
def test_how_long_a_training_takes_is_told_once(
    minutes: float, eta: float, told: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    report = progress.PlainReport(RunConfig().replace(minutes=minutes))
    report(events.Start(0, "one", 9, 5, "cpu", 1, "fox.txt", 27, 10**6, 27))
    for now in (101.0, 106.0, 120.0):
        report(events.Step(1, 3.0, 0.5, 0.01, 0.1, 900.0, eta))
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("about ")]
        line = "about 1 h 00 m to go at this speed; --minutes N limits it, Ctrl-C ends it with a checkpoint"
        assert lines == [line] * (told and now == 106.0)


@pytest.mark.parametrize(
    ("wait", "told", "line"),
    [(90.0, True, ", evaluates in 1 m 30 s"), (40.0, False, ", evaluates in 40 s"), (0.0, False, "")],
)
def test_how_long_it_is_to_an_evaluation(
    wait: float, told: bool, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    report = progress.PlainReport(RunConfig().replace(minutes=3.0))
    report(events.Start(0, "one", 9, 5, "cpu", 1, "fox.txt", 27, 10**6, 27))
    for now[0] in (101.0, 106.0, 120.0):
        report(events.Step(1, 3.0, 0.5, 0.01, 0.1, 900.0, 110.0, wait))
    said = capsys.readouterr().out.splitlines()
    assert sum("comes in about 1 m 30 s; --eval-every N" in each for each in said) == told
    assert said[-1].endswith(f"1 m 50 s left{line}")


def test_the_calendar_is_no_column(capsys: pytest.CaptureFixture[str]) -> None:
    report = progress.PlainReport(RunConfig.of("forecast"))
    for inputs, said in ((12, "2 columns and 10 values of the calendar, t.csv"), (2, " 2 columns, t.csv")):
        report(events.Start(0, "one", 9, 5, "cpu", 1, "t.csv", inputs, 10**6, 2))
        assert said in capsys.readouterr().out
