"""Every setting of a run: frozen dataclasses, checked at construction, as JSON and TOML.

The fields below are the single source for the command line's options, the dashboard's form, the
recipes and `run.json`; each carries its own one-line description and bounds. Field names are
unique across the sections, so a flat `{"hidden": 256, "lr": 0.004}` names a configuration.
"""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from tuirnn import variants
from tuirnn.cells import CELLS, Cell, find_cell
from tuirnn.errors import ConfigError, chosen, nearest, one_line
from tuirnn.files import read_bounded

T = TypeVar("T")

DEFAULT_STEPS = 5_000
"""Length of a run that names no limit of its own."""

MAX_RECIPE_BYTES = 100_000

KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    tuple[str, ...]: "a list of texts",
}
"""What a value of each type is called."""


def option(
    default: T,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    flag: str | None = None,
) -> T:
    """A configuration field: its default, a line of help, inclusive bounds or the allowed words."""
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "flag": flag}
    return field(default=default, metadata=metadata)


class Section:
    """Shared checking of the sections: types, bounds and choices as the field metadata says."""

    def __post_init__(self) -> None:
        for spec in fields(cast(Any, self)):
            object.__setattr__(self, spec.name, _checked(spec, getattr(self, spec.name)))
        self.check()

    def check(self) -> None:
        """Refuse combinations of valid values that have no meaning; sections override it."""


def _checked(spec: "dataclasses.Field[Any]", value: Any) -> Any:
    """`value` as the field `spec` holds it: of its type, within its bounds, a choice as it is written there."""
    value = _typed(spec, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{flag_of(spec.name)} takes a finite number, not {value}")
    low, high = spec.metadata["low"], spec.metadata["high"]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if low is not None and value < low:
            raise ConfigError(f"{flag_of(spec.name)} must be at least {_shown(low)}, not {_shown(value)}")
        if high is not None and value > high:
            raise ConfigError(f"{flag_of(spec.name)} must be at most {_shown(high)}, not {_shown(value)}")
    return value


def _typed(spec: "dataclasses.Field[Any]", value: Any) -> Any:
    flag, kind = flag_of(spec.name), spec.type
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{flag} takes a number of fewer digits") from None
    if kind == tuple[str, ...]:
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value) is kind:
        return chosen(flag, value, spec.metadata["choices"]) if spec.metadata["choices"] else value
    raise ConfigError(f"{flag} takes {KINDS[kind]}, not {one_line(repr(value), 60)}")


def _shown(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """The network: embedding -> stack of recurrent layers -> head."""

    cell: str = option("lstm", "Recurrent cell.", choices=tuple(CELLS))
    hidden: int = option(384, "Hidden units in each layer.", low=1, high=65_536)
    layers: int = option(1, "Recurrent layers.", low=1, high=256)
    embed: int = option(
        128, "Width of the learned embedding; 0 feeds one-hot vectors. A series has none.", low=0, high=65_536
    )
    residual: bool = option(False, "Add each layer's input to its output, from the second layer on.")
    projection: int = option(0, "Width of a linear layer between the stack and the head; 0: none.", low=0, high=65_536)
    tied: bool = option(False, "The head shares the embedding's weights.")
    nonlinearity: str = option(
        "tanh",
        f"Activation of the vanilla RNN, another way to name the cell: {variants.meaning('nonlinearity')}.",
        choices=variants.choices("nonlinearity"),
    )
    reset: str = option(
        "after",
        "Where the GRU applies its reset gate, before the recurrent product (Cho 2014) or after it (cuDNN), another "
        f"way to name the cell: {variants.meaning('reset')}.",
        choices=variants.choices("reset"),
    )
    dropout: float = option(0.2, "Dropout between layers and before the head.", low=0.0, high=0.95)
    weight_dropout: float = option(
        0.0, "Dropout of the recurrent weights in training, one mask a batch.", low=0.0, high=0.95
    )
    forget_bias: float = option(
        1.0, f"Initial bias of the forget gate, of {', '.join(variants.readers('forget_bias'))}.", low=-10.0, high=10.0
    )
    init_std: float = option(
        0.0, "Standard deviation of the first weights; 0: uniform within 1/√hidden, as torch.nn.", low=0.0, high=10.0
    )

    @property
    def recurrent(self) -> Cell:
        """The definition of the cell and its variant."""
        return find_cell(self.cell, **{name: getattr(self, name) for name in variants.OPTIONS})

    @property
    def unread(self) -> frozenset[str]:
        """The settings that this cell does not read; files may hold any value of them."""
        cell = self.recurrent
        return frozenset(spec.name for spec in fields(self) if not variants.reads(cell, spec.name))

    def check_given(self, given: Mapping[str, Any]) -> None:
        """Refuse settings that were given on purpose and have no effect; see `variants.check_given`."""
        variants.check_given(self.recurrent, given)

    def of_cell(self, cell: Cell) -> "ModelConfig":
        """The same network of another cell."""
        return dataclasses.replace(self, **cast(dict[str, Any], cell.settings))

    def check(self) -> None:
        """A variant's name becomes its family and option, as files have them; tied weights need equal widths."""
        if CELLS[self.cell].option and self.cell != CELLS[self.cell].family:
            for name, value in CELLS[self.cell].settings.items():
                object.__setattr__(self, name, value)
        top = self.projection or self.hidden
        if self.tied and self.embed != top:
            raise ConfigError(
                f"--tied needs --embed equal to the head's input width {top}, not {self.embed}; set --embed {top}"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """What is learned from, and how it is cut."""

    task: str = option(
        "lm",
        "What is learned: lm, the next token of a text; classify, which class a sequence belongs to; forecast, the "
        "next point of a series of numbers.",
        choices=("lm", "classify", "forecast"),
    )
    sources: tuple[str, ...] = option(
        (), "Files, folders, '-' or data set names; none: the embedded text, of a forecast sine and cosine."
    )
    tokens: str = option("char", "What one token is.", choices=("char", "byte", "word"))
    vocab_size: int = option(10_000, "Largest word vocabulary; rarer words are unknown.", low=2, high=1_000_000)
    val_fraction: float = option(0.1, "Share at the end held out for validation.", low=0.001, high=0.9)
    test_fraction: float = option(0.0, "Share before it held out for testing.", low=0.0, high=0.9)
    fraction: float = option(1.0, "Use only this share of the data: the first of a text.", low=1e-6, high=1.0)
    lines: bool = option(
        False, "The text is a list of lines in no order: drop its duplicates, shuffle it, cut it between lines."
    )
    split: str = option(
        "end",
        "end: held out is the end of the text; within: it is trained on as well, as in some published systems.",
        choices=("end", "within"),
    )
    allow_leak: bool = option(False, "Go on where training and validation overlap; every figure is then called leaky.")
    classes: str = option("", "Classify: only these classes, with commas between; none: all.")
    columns: str = option("", "Forecast: only these columns, with commas between; none: all that hold numbers.")
    text_column: str = option("", "Classify: the table's column of sequences; none: the first that is no label.")
    label_column: str = option("", "Classify: the table's column of labels; none: 'label', 'class' or the last.")
    split_seed: int = option(
        0, "Seed of the shuffle before the split, of labelled sequences or lines.", low=0, high=2**63 - 1
    )

    def check(self) -> None:
        """Something must be left to train on, and a text's ways of cutting are for texts."""
        if self.val_fraction + self.test_fraction > 0.95:
            raise ConfigError(
                "--val-fraction and --test-fraction leave less than 5 % of the data to train on; lower one"
            )
        if self.task != "lm" and (self.lines or self.split != "end"):
            raise ConfigError(f"--lines and --split are for texts; leave them out with --task {self.task}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """How the weights are found, for how long, and what is kept on the way."""

    batches: str = option(
        "stream",
        "stream: contiguous lanes with carried state (truncated BPTT); random: windows from anywhere; "
        "windows: every window once an epoch, shuffled; lines: windows that begin where a line does, shuffled.",
        choices=("stream", "random", "windows", "lines"),
    )
    batch_size: int = option(32, "Sequences trained side by side.", low=1, high=1_000_000)
    seq_len: int = option(
        64, "Tokens from one end of backpropagation through time to the other.", low=1, high=1_000_000
    )
    optimizer: str = option("adamw", "Update rule.", choices=("sgd", "adam", "adamw", "rmsprop"))
    lr: float = option(5e-3, "Peak learning rate.", low=1e-12, high=1e6)
    momentum: float = option(0.0, "Momentum of sgd and rmsprop.", low=0.0, high=0.9999)
    weight_decay: float = option(0.01, "Weight decay of matrices (decoupled in adamw).", low=0.0, high=10.0)
    schedule: str = option("cosine", "Learning rate over the run.", choices=("constant", "step", "cosine"))
    warmup: int = option(50, "Steps of linear warm-up.", low=0, high=10_000_000)
    lr_floor: float = option(0.02, "Cosine ends at this share of the peak rate.", low=0.0, high=1.0)
    lr_step: int = option(1_000, "Steps between two falls of the step schedule.", low=1, high=1_000_000_000)
    lr_factor: float = option(0.5, "What each fall of the step schedule multiplies by.", low=1e-6, high=1.0)
    summed: bool = option(False, "Follow the loss summed over a batch's tokens, not their mean.")
    clip: float = option(1.0, "Largest gradient norm; 0: no clipping.", low=0.0, high=1e9)
    steps: int = option(
        0,
        f"Stop after this many steps; 0: no such limit, but {DEFAULT_STEPS:,} steps where steps, epochs, minutes and "
        "patience are all 0.",
        low=0,
        high=10**12,
    )
    epochs: float = option(
        0.0, "Stop after this many passes over the training split; 0: no such limit.", low=0.0, high=1e9
    )
    minutes: float = option(
        0.0, "Stop after this much wall time, earlier sessions counted; 0: no such limit.", low=0.0, high=1e7
    )
    on_nan: str = option(
        "stop",
        "When the loss is not finite: stop, or rollback to the last checkpoint and go on at half the rate.",
        choices=("stop", "rollback"),
    )
    patience: int = option(0, "Stop after this many evaluations without a new best; 0: never.", low=0, high=1_000_000)
    eval_every: int = option(500, "Steps between two evaluations; 0: one after each epoch.", low=0, high=10**9)
    checkpoint_every: int = option(500, "Steps between two checkpoints.", low=1, high=10**9)
    keep: int = option(3, "Newest checkpoints kept, beside the best.", low=1, high=1_000_000)
    sample_length: int = option(300, "Tokens written at each evaluation; 0: none.", low=0, high=100_000)
    sample_prime: str = option("", "What the text written at evaluations begins with; none: a new line.")
    sample_temperature: float = option(0.8, "Temperature of that text; 0: greedy.", low=0.0, high=100.0)
    token_dropout: float = option(
        0.0, "Share of the tokens that training reads as unknown ones; not for bytes.", low=0.0, high=0.9
    )
    every_step: bool = option(
        False,
        "Classify, forecast: learn from every step, not only from a sequence's last. A stream always does, and is "
        "then used with its state carried; else a forecast reads the last --seq-len points from a zero state.",
    )
    class_weights: bool = option(False, "Classify: let every class count the same, however many sequences it has.")
    horizon: int = option(
        200, "Forecast: points that each evaluation forecasts from its own forecasts.", low=1, high=100_000
    )
    device: str = option("auto", "Where to compute.", choices=("auto", "cpu", "cuda"))
    processes: int = option(
        1,
        "Processes that share each batch, on a GPU each or on a part of the processor's cores; results do not depend "
        "on how many.",
        low=1,
        high=4_096,
    )
    dtype: str = option(
        "float32",
        "Arithmetic of the recurrent layers; tf32: float32 whose products a GPU rounds to 10 bits.",
        choices=("float32", "tf32", "float64", "bfloat16"),
    )
    accumulate: int = option(
        1,
        "Parts in which a step goes through its batch, for less memory; the result is the same.",
        low=1,
        high=1_000_000,
    )
    memory: str = option(
        "save",
        "What stays of a step for its backward pass: save, all gates; recompute, the states alone, for about "
        "three fifths of the memory and up to a third more arithmetic. The result is the same.",
        choices=("save", "recompute"),
    )
    seed: int = option(0, "Seed of weights, batches, dropout and samples.", low=0, high=2**63 - 1)

    def last_step(self, epoch: int) -> int:
        """The step that the run ends at by its limits; 0 where only time or patience ends it.

        Args:
            epoch: batches in one pass over the training split.
        """
        limits = [self.steps] if self.steps else []
        if self.epochs:
            limits.append(max(1, round(self.epochs * epoch)))
        if not (limits or self.minutes or self.patience):
            return DEFAULT_STEPS
        return min(limits, default=0)


SECTIONS: dict[str, type[Section]] = {"model": ModelConfig, "data": DataConfig, "train": TrainConfig}
FIELDS: dict[str, tuple[str, "dataclasses.Field[Any]"]] = {
    spec.name: (section, spec) for section, kind in SECTIONS.items() for spec in fields(cast(Any, kind))
}
"""Field name -> (section, dataclass field), over all sections."""


def checked(name: str, value: Any) -> Any:
    """`value` as the field `name` holds it; raises ConfigError for an unknown name or one that it refuses."""
    if name not in FIELDS:
        raise ConfigError(f"unknown setting '{one_line(name, 60)}'; {nearest(name, FIELDS)}")
    return _checked(FIELDS[name][1], value)


def flag_of(name: str) -> str:
    """The command-line option that sets the field `name`."""
    return "SOURCE" if name == "sources" else "--" + name.replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: model, data and training."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        """The numbers of a series go straight into the first layer: there is no embedding to learn or to share."""
        if self.data.task == "forecast":
            if self.model.tied:
                raise ConfigError("--tied shares an embedding, and a forecast's numbers have none; leave it out")
            object.__setattr__(self, "model", dataclasses.replace(self.model, embed=0))

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with the flat field names in `changes` set.

        Raises:
            ConfigError: an unknown name or a value that the field refuses.
        """
        sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for name, value in changes.items():
            if name not in FIELDS:
                raise ConfigError(f"unknown setting '{one_line(name, 60)}'; {nearest(name, FIELDS)}")
            sections[FIELDS[name][0]][name] = value
        return RunConfig(
            model=dataclasses.replace(self.model, **sections["model"]),
            data=dataclasses.replace(self.data, **sections["data"]),
            train=dataclasses.replace(self.train, **sections["train"]),
        )

    def flat(self) -> dict[str, Any]:
        """Every setting by its field name."""
        return {name: getattr(getattr(self, section), name) for name, (section, _) in FIELDS.items()}

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Nested plain values, as `run.json` holds them."""
        return {section: dataclasses.asdict(getattr(self, section)) for section in SECTIONS}

    @classmethod
    def from_json(cls, value: object, *, where: str) -> "RunConfig":
        """Read what `to_json` wrote; absent fields take their defaults.

        Args:
            value: parsed JSON or TOML, sections of plain values.
            where: the file's name, for the error.
        Raises:
            ConfigError: anything unknown, mistyped or out of bounds.
        """
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected sections {', '.join(SECTIONS)}, got {type(value).__name__}")
        changes: dict[str, Any] = {}
        for section, body in value.items():
            if section not in SECTIONS:
                raise ConfigError(
                    f"{where}: unknown section '{one_line(section, 60)}'; {nearest(str(section), SECTIONS)}"
                )
            if not isinstance(body, dict):
                raise ConfigError(f"{where}: section '{section}' must be a table of settings")
            for name in body:
                if FIELDS.get(name, ("",))[0] != section:
                    own = [known for known, (home, _) in FIELDS.items() if home == section]
                    raise ConfigError(
                        f"{where}: unknown setting '{one_line(name, 60)}' in '{section}'; {nearest(str(name), own)}"
                    )
            changes.update(body)
        try:
            return cls().replace(**changes)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


@dataclass(frozen=True)
class Recipe:
    """A named, ready configuration: one TOML file."""

    name: str
    about: str
    config: RunConfig


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in _recipe_folder().glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """The recipe of that name, or of that path where `name` ends in `.toml`.

    Raises:
        ConfigError: no such recipe, or a file that is not one.
    """
    path = recipe_path(name)
    where = one_line(path.name)
    try:
        body = tomllib.loads(recipe_text(name))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not a readable recipe: {one_line(error)}") from None
    about = body.pop("about", "")
    if not isinstance(about, str):
        raise ConfigError(f"{where}: 'about' takes a string")
    return Recipe(path.stem, about, RunConfig.from_json(body, where=where))


def recipe_path(name: str) -> Path:
    """The file of a recipe, by name or by path; raises ConfigError for an unknown name."""
    if name.endswith(".toml"):
        return Path(name)
    if name not in recipe_names():
        raise ConfigError(f"no recipe '{one_line(name, 60)}'; {nearest(name, recipe_names())}")
    return _recipe_folder() / f"{name}.toml"


def recipe_text(name: str) -> str:
    """The TOML of a recipe as it stands in its file; raises ConfigError where it cannot be read."""
    path = recipe_path(name)
    try:
        return read_bounded(path, MAX_RECIPE_BYTES, ConfigError, follow_links=True).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{one_line(path.name)}: not a readable recipe: it is not UTF-8") from None


def _recipe_folder() -> Path:
    return Path(__file__).parent / "recipes"
