"""What is exported: an architecture, its weights and its vocabulary, wherever they come from."""

from collections.abc import Callable
from dataclasses import dataclass

from tuirnn.config import ModelConfig
from tuirnn.export.weights import ModelWeights, read_weights
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import as_number, read_record
from tuirnn.tasks.datasets import dataset_names
from tuirnn.vocab import Ids, Vocabulary


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
        held_out: gives the text that a lossy precision is weighed on; raises DataError where there is none.
    """

    name: str
    config: ModelConfig
    weights: ModelWeights
    vocab: Vocabulary
    step: int = 0
    val_nats: float = float("nan")
    data: str = ""
    held_out: Callable[[], Ids] | None = None

    @property
    def variant(self) -> str:
        """The RNN's nonlinearity or the GRU's reset form; empty for the LSTM."""
        return {"rnn": self.config.nonlinearity, "gru": self.config.reset}.get(self.config.cell, "")


def read_network(paths: RunPaths, which: str = "best") -> Network:
    """The network of a run's checkpoint: 'best', 'last' or a step.

    Raises:
        RunError: no such checkpoint, or a damaged one.
    """
    from tuirnn.runtime.opening import run_data

    record = read_record(paths)
    saved = checkpoint.load(paths, which)
    sources = record.config.data.sources or ("default",)
    return Network(
        name=paths.name,
        config=record.config.model,
        weights=read_weights(saved.files[checkpoint.MODEL], record.config.model, saved.path.name),
        vocab=record.vocab,
        step=saved.step,
        val_nats=as_number(saved.trainer.get("progress", {}).get("val_loss")),
        data=sources[0] if len(sources) == 1 and sources[0] in dataset_names() else "",
        held_out=lambda: run_data(paths).val,
    )
