"""What is exported: an architecture, its weights and its vocabulary, wherever they come from."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tuirnn.cellfile.guard import TrustedCell
from tuirnn.config import ModelConfig
from tuirnn.errors import RunError
from tuirnn.export.weights import ModelWeights, read_weights
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, as_number, read_record
from tuirnn.tasks.datasets import dataset_names
from tuirnn.vocab import Vocabulary


@dataclass(frozen=True)
class Network:
    """A trained network, ready to become a cell file.

    Attributes:
        name: for messages.
        config: architecture.
        weights: float64.
        vocab: what the tokens stand for.
        step: training step of the checkpoint.
        val_nats: carried loss on the validation split; NaN where unknown.
        data: name of the data set that it was trained on; empty for others.
        measure: held-out nats of a cell file and the tokens or sequences they were measured on, for weighing a lossy
            precision; raises DataError where the data are gone; None where there are none.
        classes: of a classifier.
    """

    name: str
    config: ModelConfig
    weights: ModelWeights
    vocab: Vocabulary
    step: int = 0
    val_nats: float = float("nan")
    data: str = ""
    measure: Callable[[TrustedCell], tuple[float, int]] | None = None
    classes: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        """The RNN's nonlinearity or the GRU's reset form; empty for the LSTM."""
        return {"rnn": self.config.nonlinearity, "gru": self.config.reset}.get(self.config.cell, "")


def read_network(paths: RunPaths, which: str = "best") -> Network:
    """The network of a run's checkpoint: 'best', 'last' or a step.

    Raises:
        RunError: no such checkpoint, or a damaged one.
    """
    record = read_record(paths)
    saved = checkpoint.load(paths, which)
    sources = record.config.data.sources or ("default",)
    return Network(
        name=paths.name,
        config=record.config.model,
        weights=read_weights(saved.files[checkpoint.MODEL], record.config.model, saved.path.name),
        vocab=record.vocab,
        step=saved.step,
        val_nats=math.nan if record.leaky else as_number(saved.trainer.get("progress", {}).get("val_loss")),
        data=sources[0] if len(sources) == 1 and sources[0] in dataset_names() and _cut_plainly(record) else "",
        measure=lambda cell: _measured(cell, paths),
        classes=_classes(record),
    )


def _cut_plainly(record: RunRecord) -> bool:
    """Whether the data set's name alone tells what was held out."""
    data = record.config.data
    return not data.lines and data.split == "end"


def _classes(record: RunRecord) -> tuple[str, ...]:
    if record.config.data.task != "classify":
        return ()
    classes = record.data.get("classes")
    if not isinstance(classes, list) or len(classes) < 2 or not all(isinstance(name, str) for name in classes):
        raise RunError("run.json is damaged: a classifier's data has a list of classes")
    return tuple(classes)


def _measured(cell: TrustedCell, paths: RunPaths) -> tuple[float, int]:
    """Held-out nats of a cell of this run, through ONNX Runtime."""
    from tuirnn.runtime import classify, evaluate
    from tuirnn.runtime.opening import run_data
    from tuirnn.tasks.classify import LabelledData
    from tuirnn.tasks.lm import TextData

    data = run_data(paths)
    if isinstance(data, LabelledData):
        return classify.measure(cell, data.val, device="cpu").nats, len(data.val)
    assert isinstance(data, TextData)
    loss = evaluate.in_lanes(cell, data.val)
    return loss.nats, loss.tokens
