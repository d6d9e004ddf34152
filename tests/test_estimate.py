"""Estimates against what the networks really are."""

import pytest

from tuirnn.config import RunConfig
from tuirnn.estimate import estimate, operations, parameters, rate

CASES = [
    {}, {"cell": "gru", "layers": 3}, {"cell": "rnn", "embed": 0}, {"projection": 12}, {"tied": True, "embed": 24},
    {"cell": "gru", "reset": "before", "embed": 0, "layers": 2, "projection": 7},
]  # fmt: skip


@pytest.mark.parametrize("changes", CASES)
def test_parameters_are_exact(changes: dict[str, object]) -> None:
    from tuirnn.models import SequenceModel, count_parameters

    model = RunConfig().replace(**{"hidden": 24, "embed": 8, **changes}).model
    assert parameters(model, 31) == count_parameters(SequenceModel(model, 31))


def test_time_follows_what_the_machine_has_shown() -> None:
    config = RunConfig().replace(steps=1000)
    shown = rate([(config, 65, 40_000.0), (config, 65, 10_000.0)])
    assert estimate(config, 65, shown).seconds == pytest.approx(1000 * 32 * 64 / 40_000)
    assert estimate(config.replace(steps=0, minutes=3.0), 65, shown).seconds == 180
    assert rate([]) > 0
    assert operations(config.replace(hidden=768).model, 65) > 3 * operations(config.model, 65)
