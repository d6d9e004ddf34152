"""Sequence tagging: which tag does each word of a sequence have, or each of its symbols?"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuirnn.errors import one_line
from tuirnn.figures import PERCENT, Figure, number
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.builtin import ENTITIES
from tuirnn.tasks.task import KINDS, OF_TOKENS, Held, OpenCell, Report, Task, TaskData

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tuirnn.tasks.tag.judging import Figures
    from tuirnn.tasks.tag.spans import Counts
    from tuirnn.vocab import Vocabulary


class Tagging(Task):
    """See the module."""

    name = "tag"
    noun = "tagger"
    short = "tags"
    learns = "the tag of each word of a sequence"
    does = "tags words"
    source = "tagged sequences"
    default_source = ENTITIES
    figures = (
        Figure("loss", "loss", "nats/{token}"),
        Figure("accuracy", "accuracy", PERCENT, higher=True),
        Figure("span_f1", "span F1", PERCENT, higher=True),
    )
    loss_in = ("nats", "tokens")
    settings = OF_TOKENS | {
        "vocab_size", "text_column", "label_column", "split_seed", "delimiter", "header", "encoding"
    }  # fmt: skip
    labelled = True
    python = "Tagger"
    each = True

    def load(
        self,
        config: DataConfig,
        *,
        vocab: "Vocabulary | None" = None,
        known: Mapping[str, Any] | None = None,
        stdin: Path | None = None,
    ) -> TaskData:
        """See `Task.load`."""
        from tuirnn.tasks.tag import data

        return data.load(config, vocab=vocab, known=known, stdin=stdin)

    def counted(self, kind: str) -> str:
        """See `Task.counted`."""
        return "sequences"

    def step_amount(self, config: TrainConfig, train: int) -> tuple[int, str]:
        """Sequences, which are as long as they are."""
        return min(config.batch_size, train or config.batch_size), "sequences"

    def scale(self, data: DataConfig, summary: Mapping[str, Any], symbols: int) -> Hashable:
        """Losses over different tags cannot be compared; nor those of words of which other ones are unknown."""
        return (tuple(summary.get("classes", ())), symbols if data.tokens == "word" else 0)

    def held_out(self, data: TaskData) -> "Iterable[tuple[npt.NDArray[np.int64], str]]":
        """See `Task.held_out`."""
        from tuirnn.tasks.tag.data import TagData

        assert isinstance(data, TagData)
        return ((ids, "") for ids in data.val.ids)

    def weigh(self, cell: OpenCell, data: TaskData) -> tuple[float, int]:
        """See `Task.weigh`."""
        from tuirnn.tasks.tag.data import TagData
        from tuirnn.tasks.tag.prediction import measure

        assert isinstance(data, TagData)
        found = measure(cell, data.val)
        return found.nats, found.tokens

    def evaluate(self, cell: OpenCell, held: Held) -> Report:
        """On a given file; on the test part of its run's data, or the validation part where there is none."""
        from tuirnn.tasks.tag.data import TagData, given
        from tuirnn.tasks.tag.prediction import measure
        from tuirnn.tasks.texts import unknown_share

        notes: tuple[str, ...] = ()
        if held.given is not None:
            vocab, classes = cell.metadata.vocab, cell.metadata.classes
            sequences, notes = given(held.given, vocab, classes, held.reading.encoding, held.read)
            what, about = one_line(held.given), {"text": held.given}
            notes = (*notes, *unknown_share(vocab, list(sequences.ids)))
        else:
            data = held.data()
            assert isinstance(data, TagData)
            which = "test" if len(data.test) else "val"
            sequences, what, about = data.test if len(data.test) else data.val, f"the {which} split", {"split": which}
        found = measure(cell, sequences)
        kind = KINDS[cell.metadata.vocab.kind]
        return Report(
            {**about, "classes": cell.metadata.classes, "sequences": len(sequences), **found.to_json()},
            [
                f"{cell.name} on {what}, {len(sequences):,} sequences, {found.words:,} words, {found.tokens:,} {kind}",
                *_table(found, cell.metadata.vocab.kind),
            ],
            list(notes),
        )

    def predict(self, cell: OpenCell, text: str) -> Report:
        """Each word with its tag and probability, then the text with its spans marked."""
        from tuirnn.tasks.tag.prediction import mark

        (found,) = mark(cell, [text])
        return Report(found.to_json(), [*found.table(), found.shown])

    def predict_lines(self, cell: OpenCell, lines: Sequence[str]) -> Iterable[Report]:
        """Each text with its spans marked."""
        from tuirnn.tasks.tag.prediction import mark

        return (Report(one.to_json(), [one.shown]) for one in mark(cell, lines))


def _table(found: "Figures", kind: str) -> list[str]:
    """Figures of all, of each tag and of each kind of span."""
    from tuirnn.tasks.tag.spans import total

    every = total(found.spans)
    width = max(len(one_line(name, 24)) for name in ("all spans", *found.tags, *found.spans))

    def rows(title: str, counted: str, counts: Mapping[str, "Counts"]) -> list[str]:
        head = f"{title:<{width}}  precision  recall      F1  {counted:>7}"
        return ["", head] + [
            f"{one_line(name, 24):<{width}}  {one.precision:>9.1%}  {one.recall:>6.1%}  {one.f1:>6.1%}  {one.true:>7,}"
            for name, one in counts.items()
        ]

    return [
        f"loss {number(found.nats, 4)} nats/{kind}   accuracy {found.accuracy:.2%}   span F1 {every.f1:.2%}",
        *rows("tag", "words", found.tags),
        *rows("span", "spans", {**found.spans, "all spans": every}),
    ]


TASK = Tagging()
