"""What a run is judged by, for whoever shows, sorts or draws its figures."""

from tuirnn.figures import UNKNOWN, Judgement
from tuirnn.runs.reader import RunRecord


def judgement(record: RunRecord | None) -> Judgement:
    """The figures of a run, the loss first; of a run without a readable record a loss of no unit."""
    if record is None:
        return UNKNOWN
    config = record.config
    figures = config.task.figures_of(config.data, config.train)
    return Judgement(figures, config.task.scale(config.data, record.data, len(record.vocab)))
