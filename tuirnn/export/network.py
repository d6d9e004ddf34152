"""What is exported: an architecture, its weights and its vocabulary, wherever they come from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuirnn.calibration import Calibration
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import CellMetadata, state_map
from tuirnn.cellfile.vectors import TestVector
from tuirnn.errors import DataError, RunError, one_line
from tuirnn.export.weights import ModelWeights, read_weights
from tuirnn.runs import checkpoint
from tuirnn.runs.checkpoint import Checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, as_number, read_record
from tuirnn.scaling import Scaling
from tuirnn.settings.model import ModelConfig
from tuirnn.tasks import DEFAULT, TASKS
from tuirnn.tasks.datasets import DATASETS, MADE, dataset_names
from tuirnn.tasks.task import Task
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
        val_loss: on the validation split, in the unit of its task; NaN where unknown.
        data: name of the data set that it was trained on; empty for others.
        learned_from: what it was trained on, for people; empty where unknown.
        measure: held-out loss of a cell file and on how many tokens, sequences or points, for weighing a lossy
            precision; raises DataError where the data are gone; None where there are none.
        task: what was learned.
        classes: what the logits stand for, where that is not the vocabulary.
        scaling, look_back, calibration: of a network of points, see `CellMetadata`.
    """

    name: str
    config: ModelConfig
    weights: ModelWeights
    vocab: Vocabulary
    step: int = 0
    val_loss: float = float("nan")
    data: str = ""
    learned_from: str = ""
    measure: Callable[[TrustedCell], tuple[float, int]] | None = None
    task: Task = TASKS[DEFAULT]
    classes: tuple[str, ...] = ()
    scaling: Scaling | None = None
    look_back: int = 0
    calibration: Calibration | None = None

    @property
    def metadata(self) -> CellMetadata:
        """The metadata of its plain cell file, a step in fp32; the test vector is an empty one."""
        cell, points = self.config.recurrent, self.scaling is not None
        return CellMetadata(
            cell=self.config.cell,
            variant=cell.option[1] if cell.option else "",
            layers=self.config.layers,
            hidden=self.config.hidden,
            vocab=self.vocab,
            test=TestVector((0,), (0.0,)),
            val_bpc=math.nan if points else round(self.val_loss / math.log(2), 4),
            val_mse=float(f"{self.val_loss:.6g}") if points else None,
            data=self.data,
            state_map=state_map(cell, self.scaling, pools=self.config.pools),
            task=self.task.name,
            classes=self.classes,
            scaling=self.scaling,
            look_back=self.look_back,
            calibration=self.calibration,
        )


def read_network(paths: RunPaths, which: str = "best") -> Network:
    """The network of a run's checkpoint: 'best', 'last' or a step.

    Raises:
        RunError: no such checkpoint, or a damaged one.
    """
    record = read_record(paths)
    return network_of(paths, record, checkpoint.load(paths, which))


def network_of(paths: RunPaths, record: RunRecord, saved: Checkpoint) -> Network:
    """The network of a run's checkpoint that has been read.

    Raises:
        RunError: the record or the checkpoint does not say what a network needs.
    """
    task = record.config.task
    scaling = _scaling(record) if task.points else None
    sources = record.config.data.sources or (task.default_source,)
    return Network(
        name=paths.name,
        config=record.config.model,
        weights=read_weights(saved.files[checkpoint.MODEL], record.config.model, saved.path.name),
        vocab=record.vocab,
        step=saved.step,
        val_loss=math.nan if record.leaky else as_number(saved.trainer.get("progress", {}).get("val_loss")),
        data=sources[0] if len(sources) == 1 and sources[0] in dataset_names() and _cut_plainly(record) else "",
        learned_from=_learned_from(record, sources),
        measure=lambda cell: _measured(cell, paths),
        task=task,
        classes=_classes(record) if task.labelled else (),
        scaling=scaling,
        look_back=task.look_back(record.config.train),
        calibration=_calibration(saved, scaling) if scaling else None,
    )


def _scaling(record: RunRecord) -> Scaling:
    try:
        return Scaling.from_json(record.data)
    except DataError as error:
        raise RunError(f"run.json is damaged: {error}") from None


def _calibration(saved: Checkpoint, scaling: Scaling) -> Calibration | None:
    """What the checkpoint's evaluation kept; None in checkpoints of older versions, or before any evaluation."""
    progress = saved.trainer.get("progress")
    kept = progress.get("kept") if isinstance(progress, dict) else None
    if not isinstance(kept, dict) or "calibration" not in kept:
        return None
    try:
        return Calibration.from_json(kept["calibration"], len(scaling))
    except DataError as error:
        raise RunError(f"{saved.path.name}/trainer.json is damaged: {error}") from None


def _learned_from(record: RunRecord, sources: Sequence[str]) -> str:
    """The name of a run's data; of a data set also what it is."""
    name = one_line(str(record.data.get("name", "")), 80)
    known = DATASETS.get(sources[0]) or MADE.get(sources[0]) if len(sources) == 1 else None
    return f"{name} ({known.about.split(';')[0]})" if known else name


def _cut_plainly(record: RunRecord) -> bool:
    """Whether the data set's name alone tells what was held out."""
    data = record.config.data
    return not data.lines and data.split == "end"


def _classes(record: RunRecord) -> tuple[str, ...]:
    classes = record.data.get("classes")
    if not isinstance(classes, list) or len(classes) < 2 or not all(isinstance(name, str) for name in classes):
        raise RunError("run.json is damaged: its data has no list of classes")
    return tuple(classes)


def _measured(cell: TrustedCell, paths: RunPaths) -> tuple[float, int]:
    """Held-out loss of a cell of this run, through ONNX Runtime."""
    from tuirnn.runtime.data import run_data
    from tuirnn.runtime.opened import opened

    return cell.metadata.learned.weigh(opened(cell, paths.name, "cpu"), run_data(paths))
