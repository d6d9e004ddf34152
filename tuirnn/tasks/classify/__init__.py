"""Classification: which class does a sequence belong to?"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuirnn.errors import ConfigError, one_line
from tuirnn.figures import PERCENT, Figure, number
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.task import OF_TOKENS, Held, OpenCell, Report, Task, TaskData, Understood

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tuirnn.vocab import Vocabulary

SHOWN, BAR = 6, 24
"""Classes that stand beside each symbol, and the length of the bar of a certain one."""

LONG = 40
"""Symbols of a text from which its answers are told after each word instead of each symbol."""


class Classification(Task):
    """See the module."""

    name = "classify"
    noun = "classifier"
    short = "labels"
    learns = "which class a sequence belongs to"
    does = "classifies"
    source = "labelled sequences"
    figures = (
        Figure("loss", "loss", "nats/sequence"),
        Figure("accuracy", "accuracy", PERCENT, higher=True),
        Figure("macro_f1", "macro F1", PERCENT, higher=True),
        Figure("ngram_accuracy", "accuracy of n-grams", PERCENT, higher=None),
    )
    loss_in = ("nats", "sequences")
    settings = OF_TOKENS | {
        "classes", "text_column", "label_column", "split_seed", "every_step", "class_weights", "example",
        "delimiter", "header", "encoding", "pooling", "label_smoothing", "auxiliary",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = {
        "hidden": 256, "pooling": "last+max", "dropout": 0.5, "token_dropout": 0.2, "label_smoothing": 0.1,
        "auxiliary": 1.0, "lr": 3e-3, "steps": 3000, "eval_every": 250, "test_fraction": 0.1,
    }  # fmt: skip
    labelled = True
    python = "Classifier"

    def defaults_beside(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """No byte or subword is read as unknown, only few symbols are predicted beside a class, one limit is enough."""
        tokens = str(given.get("tokens", "char")).lower()
        unfit = {"token_dropout"} if tokens in ("byte", "bpe") else set[str]()
        if tokens in ("word", "bpe"):
            unfit.add("auxiliary")
        if any(given.get(limit) for limit in ("epochs", "minutes", "patience")):
            unfit.add("steps")
        return {name: value for name, value in self.defaults.items() if name not in unfit}

    def load(
        self,
        config: DataConfig,
        *,
        vocab: "Vocabulary | None" = None,
        known: Mapping[str, Any] | None = None,
        stdin: Path | None = None,
    ) -> TaskData:
        """See `Task.load`."""
        from tuirnn.tasks.classify import data

        return data.load(config, vocab=vocab, known=known, stdin=stdin)

    def understand(self, config: DataConfig, files: Sequence[tuple[str, bytes]]) -> Understood:
        """See `Task.understand`."""
        from tuirnn.tasks.classify import reading
        from tuirnn.tasks.classify.data import clean, describe_counts

        found = reading.understand(config, list(files))
        kept, notes = clean(found.groups, count_empty=not found.lines)
        return (*found.notes, describe_counts(kept), *notes), found.read

    def counted(self, kind: str) -> str:
        """See `Task.counted`."""
        return "sequences"

    def step_amount(self, config: TrainConfig, train: int) -> tuple[int, str]:
        """Sequences, which are as long as they are."""
        return min(config.batch_size, train or config.batch_size), "sequences"

    def held_out(self, data: TaskData) -> "Iterable[tuple[npt.NDArray[np.int64], str]]":
        """See `Task.held_out`."""
        from tuirnn.tasks.classify.data import LabelledData

        assert isinstance(data, LabelledData)
        return ((ids, data.classes[label]) for ids, label in zip(data.val.ids, data.val.labels, strict=True))

    def told(self, values: Mapping[str, float], unit: str) -> str:
        """See `Task.told`."""
        accuracy, f1, ngrams = values["accuracy"], values["macro_f1"], values["ngram_accuracy"]
        beside = "" if math.isnan(ngrams) else f" (n-grams: {ngrams:.2%})"
        return f"{number(values['val_loss'], 4)} nats, accuracy {accuracy:.2%}{beside}, macro F1 {f1:.3f}"

    def weigh(self, cell: OpenCell, data: TaskData) -> tuple[float, int]:
        """See `Task.weigh`."""
        from tuirnn.tasks.classify.data import LabelledData
        from tuirnn.tasks.classify.prediction import measure

        assert isinstance(data, LabelledData)
        return measure(cell, data.val).nats, len(data.val)

    def evaluate(self, cell: OpenCell, held: Held) -> Report:
        """On the test part of its run's data, or the validation part where there is none; beside the n-grams."""
        from tuirnn.tasks.classify.data import LabelledData
        from tuirnn.tasks.classify.ngrams import NGrams
        from tuirnn.tasks.classify.prediction import measure
        from tuirnn.tasks.confusion import confusion_table, terminal_width

        if held.given is not None:
            raise ConfigError("a classifier is measured on its run's own data: name the run, without --text")
        data = held.data()
        assert isinstance(data, LabelledData)
        which, examples = ("test", data.test) if len(data.test) else ("val", data.val)
        found, beside = measure(cell, examples), NGrams(data).judge(examples)
        baseline = {"ngram_accuracy": beside.accuracy, "majority_accuracy": beside.majority}
        return Report(
            {"split": which, "classes": data.classes, **found.to_json(), **baseline},
            [
                f"{cell.name} on the {which} split, {found.confusion.sum():,} sequences",
                f"accuracy {100 * found.accuracy:.2f} %   macro F1 {found.macro_f1:.4f}   "
                f"loss {number(found.nats, 4)} nats/sequence   calibration error {found.calibration:.4f}",
                f"for comparison, {beside.told}",
                "",
                *confusion_table(data.classes, found.confusion.tolist(), columns=terminal_width()),
            ],
        )

    def predict(self, cell: OpenCell, text: str) -> Report:
        """The class, then the probabilities of the likeliest ones after each symbol, or each word of a long text."""
        from tuirnn.tasks.classify.prediction import after_words, stream

        if not text:
            raise ConfigError("an empty text has no last symbol to judge by; give at least one")
        classes, steps = cell.metadata.classes, list(stream(cell, text))
        last = steps[-1][1]
        best = [int(i) for i in last.argsort()[::-1][:SHOWN]]
        rows = after_words(steps) if len(steps) > LONG else steps
        width, wide = max(5, *(len(one_line(classes[i], 14)) for i in best)), max(len(one_line(s, 16)) for s, _ in rows)
        lines = [
            f"{one_line(classes[best[0]], 60)}  {float(last[best[0]]):.3f}",
            " " * (wide + 2) + "  ".join(f"{one_line(classes[i], 14):>{width}}" for i in best),
        ]
        for symbol, p in rows:
            row = "  ".join(f"{p[i]:>{width}.3f}" for i in best)
            lines.append(f"{one_line(symbol, 16):<{wide}}  {row}  {'█' * round(BAR * float(p[best[0]]))}".rstrip())
        answer = {"class": classes[best[0]], "p": dict(zip(classes, last.tolist(), strict=True))}
        told = [{"symbol": s, "p": p.tolist()} for s, p in steps]
        return Report({"text": text, **answer, "classes": classes, "steps": told}, lines)

    def predict_lines(self, cell: OpenCell, lines: Sequence[str]) -> Iterable[Report]:
        """For each text the class, its probability and the text."""
        from tuirnn.tasks.classify.prediction import last_logits
        from tuirnn.tasks.probabilities import softmax

        vocab, classes = cell.metadata.vocab, cell.metadata.classes
        p = softmax(last_logits(cell, [vocab.encode(line) for line in lines]))  # [n, classes]
        for line, row in zip(lines, p, strict=True):
            guess = int(row.argmax())
            yield Report(
                {"text": line, "class": classes[guess], "p": dict(zip(classes, row.tolist(), strict=True))},
                [f"{one_line(classes[guess], 60)}\t{float(row[guess]):.3f}\t{one_line(line)}"],
            )


TASK = Classification()
