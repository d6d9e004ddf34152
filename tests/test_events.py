"""What `train --json` prints: the keys of each event, which scripts read."""

import pytest

from tuirnn.training import events

FIGURES = {"val_loss_blocks": 1.5}


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        (events.Start(0, "one", 9, 5, "cpu", 1, "fox.txt", 27, 10**6),
         "event step run total parameters device processes data vocab memory"),
        (events.Step(1, 3.0, 0.5, 0.01, 0.1, 900.0, 2.0), "event step loss grad_norm lr progress tokens_per_s eta"),
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
