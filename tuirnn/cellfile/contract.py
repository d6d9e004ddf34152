"""Names and metadata of the cell file, schema 1."""

import json
import math
from dataclasses import dataclass, field

from tuirnn.calibration import Calibration
from tuirnn.cellfile.card import Card, read_card
from tuirnn.cellfile.reading import HeldOutLoss, count, number, read_calibration, read_classes, read_loss, reads
from tuirnn.cellfile.start import Primed, read_primed
from tuirnn.cellfile.vectors import TestText, TestVector, read_lanes, read_text, read_vector
from tuirnn.cells import FAMILIES, Cell
from tuirnn.errors import CellFileError, one_line
from tuirnn.files import parse_json
from tuirnn.scaling import DIFFERENCE, Scaling
from tuirnn.tasks import DEFAULT, TASKS
from tuirnn.tasks.task import Task
from tuirnn.variants import cell_of
from tuirnn.vocab import Vocabulary, opening

SCHEMA = "1"
PREFIX = "tuirnn."
KEYS = ("schema", "version", "task", "cell", "variant", "layers", "hidden", "state_map", "state_init", "precision",
        "data", "test_vector")  # fmt: skip
TOKEN_KEYS = ("vocab", "unk", "val_bpc")
POINT_KEYS = ("normalisation", "look_back", "val_mse")
"""Keys of every file, of those that read tokens, and of those that read points."""

FINGERPRINT = PREFIX + "sha256"
"""Key of the hash over everything that the cell computes with; see `guard.fingerprint`."""

OPENING = PREFIX + "opening"
"""Key of the token that a text begins after; files of earlier versions lack it."""

PRECISIONS = ("fp32", "fp16", "int8", "int4")

MAX_LOOK_BACK = 1_000_000

TOKEN, LOGITS = "token", "logits"
POINT, NEXT_POINT = "x", "y"
"""What is fed and what comes out: of tokens, and of points."""

TEMPERATURE, TOP_K, UNIFORM, NEXT = "temperature", "top_k", "uniform", "next_token"
"""Inputs and output of the sampler, where the file has one."""

LAST = "last"
"""Input of the block form: the number of the step, from 0, whose state comes out."""

FORCED, TOKENS = "forced", "tokens"
"""Input and output of the unrolled form: tokens that are not to be chosen (-1: choose), and what was read or chosen."""

ZEROS = "zeros"
"""`state_init` of a file that has read nothing."""

POOLED = {"pooled_out": "pooled_in"}
"""State of a file whose output depends on the largest value of each unit so far, beside its last one."""

SAMPLER = {"temperature": TEMPERATURE, "top_k": TOP_K, "uniform": UNIFORM}
"""Metadata of a file with a sampler: which inputs set it."""

Shape = tuple[str, list[int | str]]
"""dtype and dimensions of an input or output; a free batch axis is a string."""


BEFORE = "before"
"""State of a forecaster that reads differences, [batch, F + 1]: the point before, and 1 where there was one."""


def state_map(cell: Cell, scaling: Scaling | None = None, *, pools: bool = False) -> dict[str, str]:
    """Which output is fed to which input of the next step.

    Args:
        cell: whose states are carried.
        scaling: of a forecaster, which may carry the point before.
        pools: whether the head reads the largest value of each unit so far.
    """
    further = (BEFORE,) if scaling is not None and scaling.reads == DIFFERENCE else ()
    return {f"{part}_out": f"{part}_in" for part in (*cell.state, *further)} | (POOLED if pools else {})


@dataclass(frozen=True)
class CellMetadata:
    """What a host needs besides the graph.

    Attributes:
        cell: a family of cells.
        variant: the value of the option that chooses among the family, as an RNN's nonlinearity or the GRU's reset
            form; empty where there is none.
        layers: leading axis of each state.
        hidden: last axis of each state.
        vocab: what the tokens stand for.
        test: input and expected output.
        val_bpc: carried loss on the validation split, bits per token; NaN where unknown.
        data: name of the data set that it was trained on, where it has one.
        version: of the tuirnn that wrote the file.
        loss: what the precision costs, where it was weighed.
        sampler: whether the graph chooses the next token.
        unroll: steps in one call, the sampler inside.
        block: inputs in one call, with an output of each; 0: a single one, without an axis of steps.
        classes: what the logits stand for; empty where they stand for the tokens of `vocab`, or are points.
        scaling: columns of a forecaster's points, and the normalisation that its graph applies.
        look_back: points that a forecaster reads from the zero state for each forecast; 0: the state is carried.
        calibration: naive methods and intervals of a forecaster; None in files of older versions.
        val_mse: of a forecaster, one step ahead on the validation split, in squared deviations.
        lanes: two more vectors, to be fed side by side; none in files of older versions.
        text: what a language model writes after a prime; None in others.
        card: what its maker says of it.
        primed: the text that a language model has read before; None: nothing, it begins with zeros.
    """

    cell: str
    variant: str
    layers: int
    hidden: int
    vocab: Vocabulary
    test: TestVector
    val_bpc: float = float("nan")
    data: str = ""
    version: str = ""
    task: str = DEFAULT
    precision: str = "fp32"
    state_map: dict[str, str] = field(default_factory=dict)
    loss: HeldOutLoss | None = None
    sampler: bool = False
    unroll: int = 1
    block: int = 0
    classes: tuple[str, ...] = ()
    scaling: Scaling | None = None
    look_back: int = 0
    calibration: Calibration | None = None
    val_mse: float | None = None
    lanes: tuple[TestVector, ...] = ()
    text: TestText | None = None
    primed: Primed | None = None
    card: Card = field(default_factory=dict)

    @property
    def learned(self) -> Task:
        """The task."""
        return TASKS[self.task]

    @property
    def definition(self) -> Cell:
        """The cell that is computed."""
        return cell_of(self.cell, self.variant)

    @property
    def pools(self) -> bool:
        """Whether it has the state `POOLED`."""
        return self.state_map.keys() >= POOLED.keys()

    @property
    def outputs(self) -> int:
        """Width of what comes out."""
        return len(self.scaling) if self.scaling else len(self.classes) or len(self.vocab)

    @property
    def opening(self) -> int:
        """The token that a text begins after."""
        return self.primed.token if self.primed else opening(self.vocab)

    @property
    def names(self) -> tuple[str, str]:
        """Names of what is fed and of what comes out."""
        return (POINT, NEXT_POINT) if self.scaling else (TOKEN, LOGITS)

    @property
    def steps(self) -> int:
        """Steps in one call."""
        return self.block or self.unroll

    @property
    def test_steps(self) -> int:
        """Steps that the test vectors take."""
        written = len(self.vocab.encode(self.text.prime)) + self.text.length + 1 if self.text else 0
        return len(self.test.inputs) + sum(len(lane.inputs) for lane in self.lanes) + written

    def interface(self, batch: int | str) -> tuple[dict[str, Shape], dict[str, Shape]]:
        """Inputs and outputs of the graph: name -> dtype and shape."""
        state: Shape = ("float32", [self.layers, batch, self.hidden])
        fed, out = self.names
        read: Shape = ("float32", [batch, self.scaling.inputs]) if self.scaling else ("int64", [batch])
        before: Shape = ("float32", [batch, self.outputs + 1])
        states = {name: before if name.startswith(BEFORE) else state for name in self.state_map}
        answer: Shape = ("float32", [batch, self.outputs])
        if self.block:
            read, answer = ((dtype, [self.block, *shape]) for dtype, shape in (read, answer))
        inputs: dict[str, Shape] = {fed: read, **{self.state_map[name]: shape for name, shape in states.items()}}
        outputs: dict[str, Shape] = {out: answer, **states}
        if self.block:
            inputs[LAST] = ("int64", [1])
        if self.sampler:
            rows: list[int | str] = [batch] if self.unroll == 1 else [self.unroll, batch]
            inputs |= {TEMPERATURE: ("float32", [1]), TOP_K: ("int64", [1]), UNIFORM: ("float32", rows)}
            outputs[NEXT if self.unroll == 1 else TOKENS] = ("int64", rows)
            if self.unroll > 1:
                inputs[FORCED] = ("int64", rows)
        return inputs, outputs

    def to_strings(self) -> dict[str, str]:
        """ONNX metadata_props: prefixed keys, JSON where a value has structure."""
        values = {
            "schema": SCHEMA,
            "version": self.version,
            "task": self.task,
            "cell": self.cell,
            "variant": self.variant,
            "layers": str(self.layers),
            "hidden": str(self.hidden),
            "state_map": json.dumps(self.state_map),
            "state_init": json.dumps(self.primed.state) if self.primed else ZEROS,
            "precision": self.precision,
            "data": self.data,
            "test_vector": json.dumps(self.test.to_json()),
        }
        if self.scaling:
            values["normalisation"] = json.dumps(self.scaling.to_json(), ensure_ascii=False)
            values["look_back"] = str(self.look_back)
            values["val_mse"] = f"{math.nan if self.val_mse is None else self.val_mse:.6g}"
        else:
            values["vocab"] = json.dumps(self.vocab.to_json(), ensure_ascii=False)
            values["unk"] = "" if self.vocab.unk is None else str(self.vocab.unk)
            values["val_bpc"] = f"{self.val_bpc:.4f}"
        further = {  # only some files have these; a reader that does not know them reads the others as before
            "opening": str(self.opening) if self.learned.writes else None,
            "card": json.dumps(self.card, ensure_ascii=False) if self.card else None,
            "prime": self.primed.text if self.primed else None,
            "calibration": json.dumps(self.calibration.to_json()) if self.calibration else None,
            "classes": json.dumps(self.classes, ensure_ascii=False) if self.classes else None,
            "loss": json.dumps(vars(self.loss)) if self.loss else None,
            "sampler": json.dumps(SAMPLER) if self.sampler else None,
            "test_lanes": json.dumps([lane.to_json() for lane in self.lanes]) if self.lanes else None,
            "test_text": json.dumps(vars(self.text), ensure_ascii=False) if self.text else None,
            "unroll": str(self.unroll) if self.unroll > 1 else None,
            "block": str(self.block) if self.block else None,
        }
        return {PREFIX + key: value for key, value in (values | further).items() if value is not None}

    @classmethod
    def from_strings(cls, props: dict[str, str]) -> "CellMetadata":
        """Read and check metadata.

        Raises:
            CellFileError: not a tuirnn cell, a newer schema, or values that contradict themselves.
        """
        task, text = _checked(props)
        vocab, scaling = reads(text, task.points)
        states = parse_json(text["state_map"].encode(), "state_map", CellFileError)
        cell = cell_of(text["cell"], text["variant"])
        known = (state_map(cell, scaling), state_map(cell, scaling, pools=True))
        if states not in known:
            raise CellFileError(f"its state_map is not that of a {text['cell']} cell")
        layers, hidden = count(text, "layers", 256), count(text, "hidden", 65_536)
        primed = read_primed(text, list(states.values()), (layers, hidden), len(vocab))
        if not task.writes and primed:
            raise CellFileError("its state_init is not zeros, and it is no language model")
        return cls(
            cell=text["cell"],
            variant=one_line(text["variant"], 20),
            layers=layers,
            hidden=hidden,
            primed=primed,
            card=read_card(text.get("card")),
            vocab=vocab,
            test=read_vector(text["test_vector"], "test_vector", vocab, scaling),
            lanes=read_lanes(text.get("test_lanes"), vocab, scaling),
            text=read_text(text.get("test_text")) if task.writes else None,
            val_bpc=math.nan if scaling else number(text["val_bpc"]),
            val_mse=number(text["val_mse"]) if scaling else None,
            scaling=scaling,
            look_back=count(text, "look_back", MAX_LOOK_BACK, least=0) if scaling else 0,
            calibration=read_calibration(text.get("calibration"), scaling),
            data=one_line(text["data"], 60),
            version=one_line(text["version"], 20),
            precision=text["precision"],
            state_map=states,
            loss=read_loss(text.get("loss")),
            sampler="sampler" in text,
            task=text["task"],
            classes=read_classes(text.get("classes")) if task.labelled else (),
            unroll=count({"unroll": "1", **text}, "unroll", 256),
            block=count({"block": "0", **text}, "block", 256, least=0),
        )


def _checked(props: dict[str, str]) -> tuple[Task, dict[str, str]]:
    """The task, and the values by their keys without the prefix: all that a cell of the task must have are there.

    Raises:
        CellFileError: as `CellMetadata.from_strings`.
    """
    text = {key.removeprefix(PREFIX): value for key, value in props.items() if key.startswith(PREFIX)}
    task = TASKS.get(text.get("task", ""))
    if "schema" not in text:
        raise CellFileError(
            "it is not a tuirnn cell (no tuirnn.schema in its metadata); make one with 'tuirnn export RUN'"
        )
    if text["schema"] != SCHEMA:
        raise CellFileError(
            f"it has cell schema {one_line(text['schema'], 20)}, this tuirnn reads {SCHEMA}; update tuirnn"
        )
    keys = KEYS + (POINT_KEYS if task is not None and task.points else TOKEN_KEYS)
    if missing := [PREFIX + key for key in keys if key not in text]:
        raise CellFileError(f"its metadata lack {', '.join(missing)}")
    if task is None or text["cell"] not in FAMILIES:
        raise CellFileError(
            f"it holds task '{one_line(text['task'], 20)}' with cell '{one_line(text['cell'], 20)}'; known: "
            f"{', '.join(TASKS)} with {', '.join(FAMILIES)}"
        )
    if text["precision"] not in PRECISIONS:
        raise CellFileError(
            f"its weights are in '{one_line(text['precision'], 20)}'; known: {', '.join(PRECISIONS)}; update tuirnn"
        )
    return task, text
