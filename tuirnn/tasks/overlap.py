"""Whether the held-out part was in truth trained on: the share of it that stands in the training part word for word.

A text is measured in stretches of 128 tokens: of all that are held out, those that stand in the training part too; see
`tuirnn.tasks.lm.stretches`. Language repeats words, hardly ever whole paragraphs; a file given twice repeats all of
them. A stretch that the held-out part itself repeats is not counted: a licence above each file, or a toy text of one
line over and over, is the text's nature and no leak. Labelled sequences are measured whole.
"""

from tuirnn.tasks.classify.data import LabelledData
from tuirnn.tasks.lm.data import TextData
from tuirnn.tasks.lm.stretches import STRETCH

__all__ = ["LIMIT", "STRETCH", "overlap"]

LEAST = 4 * STRETCH
"""A held-out text of fewer tokens is not measured."""

LIMIT = 0.2
"""Share of the held-out part from which a split is called leaky."""


def overlap(data: object, trained: object = None) -> float:
    """Share of the held-out part that stands in the training part, 0..1; 0 for tasks that have no such measure.

    Args:
        data: whose held-out part is meant.
        trained: data of the same task and vocabulary whose training part is meant; None: its own.
    """
    trained = trained or data
    if isinstance(data, TextData) and isinstance(trained, TextData):
        return data.overlap(trained) if len(data.val) >= LEAST else 0.0
    if isinstance(data, LabelledData) and isinstance(trained, LabelledData):
        known = {ids.tobytes() for ids in trained.train.ids}
        return sum(ids.tobytes() in known for ids in data.val.ids) / max(1, len(data.val))
    return 0.0
