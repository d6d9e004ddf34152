"""Every option of `train` has an effect, in every task, or is refused.

Tiny trainings through the command line: one with a setting's value in `FLIPS`, one without. They must differ in
weights, logs, files or what is printed; the record of the settings themselves does not count.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer

from tuirnn.config import FIELDS
from tuirnn.kernels import native
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail
from tuirnn.tasks import datasets

Settings = dict[str, Any]
Observation = dict[str, Any]

SMALL: Settings = {
    "hidden": 6, "batch_size": 4, "steps": 4, "warmup": 0, "eval_every": 2, "checkpoint_every": 2, "lr": 0.05,
    "device": "cpu",
}  # fmt: skip
TASKS: dict[str, Settings] = {
    "lm": {"task": "lm", "sources": "text.txt", "embed": 4, "seq_len": 8, "sample_length": 8},
    "classify": {"task": "classify", "sources": "table.csv", "embed": 4},
    "forecast": {"task": "forecast", "sources": "series.csv", "seq_len": 8, "horizon": 4},
}


@dataclass(frozen=True)
class Flip:
    """Another value of a setting.

    Attributes:
        value: what the setting becomes.
        base: further settings of both trainings.
        own: settings of both trainings of one task, by task.
    """

    value: Any
    base: Settings = field(default_factory=dict)
    own: dict[str, Settings] = field(default_factory=dict)


SGD: Settings = {"optimizer": "sgd"}
STEPS: Settings = {"schedule": "step", "lr_step": 1}
DIVERGING: Settings = {
    "cell": "rnn", "nonlinearity": "relu", "optimizer": "sgd", "lr": 1e6, "clip": 0.0, "schedule": "constant",
    "steps": 30, "eval_every": 100, "checkpoint_every": 100,
}  # fmt: skip
ROWS: dict[str, Settings] = {
    "lm": {"seq_len": 80, "batch_size": 8}, "classify": {"batch_size": 100},
    "forecast": {"seq_len": 20, "batch_size": 40, "batches": "windows"},
}  # fmt: skip
"""More steps times sequences than a span has with --memory recompute."""

FLIPS: dict[str, Flip] = {
    # the network
    "cell": Flip("gru"), "hidden": Flip(5), "layers": Flip(2), "embed": Flip(3), "residual": Flip(True, {"layers": 2}),
    "projection": Flip(3), "tied": Flip(True, {}, {"lm": {"embed": 6}, "classify": {"embed": 6}}),
    "nonlinearity": Flip("relu", {"cell": "rnn"}), "reset": Flip("before", {"cell": "gru"}),
    "pooling": Flip("last"), "dropout": Flip(0.6), "weight_dropout": Flip(0.5), "forget_bias": Flip(3.0),
    "init_std": Flip(0.3),
    # the data
    "task": Flip("classify", {"sources": "table.csv"}, {"classify": {"task": "lm"}}),
    "sources": Flip("other.csv", {}, {"lm": {"sources": "text.txt"}}),
    "tokens": Flip("byte"), "vocab_size": Flip(5, {}, {"lm": {"tokens": "word"}, "classify": {"tokens": "word"}}),
    "val_fraction": Flip(0.3), "test_fraction": Flip(0.2), "fraction": Flip(0.6), "lines": Flip(True),
    "split": Flip("within", {}, {"lm": {"allow_leak": True}}), "split_seed": Flip(1, {}, {"lm": {"lines": True}}),
    "dedupe": Flip(True, {}, {"lm": {"sources": "twice.txt", "val_fraction": 0.3, "allow_leak": True}}),
    "allow_leak": Flip(True, {}, {"lm": {"sources": "twice.txt", "val_fraction": 0.3}}),
    "classes": Flip("a,b"), "columns": Flip("x"), "text_column": Flip("other"), "label_column": Flip("kind"),
    "time_column": Flip("x"), "group_column": Flip("x"), "scale": Flip("difference"), "season": Flip(6),
    "calendar": Flip("no", {}, {"forecast": {"sources": "daily.csv"}}),
    "date_order": Flip("mdy", {}, {"forecast": {"sources": "dated.csv", "date_order": "dmy"}}),
    "example": Flip("line", {}, {"classify": {"sources": "folders", "example": "file"}}),
    "delimiter": Flip(";"), "decimal": Flip(","), "header": Flip("no"), "missing": Flip("7,nothing"),
    "encoding": Flip("utf-16"),
    # the training
    "batches": Flip("random"), "batch_size": Flip(3), "seq_len": Flip(5), "optimizer": Flip("sgd"), "lr": Flip(0.2),
    "momentum": Flip(0.9, SGD), "weight_decay": Flip(1.0), "schedule": Flip("constant"), "warmup": Flip(3),
    "lr_floor": Flip(0.9), "lr_step": Flip(2, STEPS), "lr_factor": Flip(0.1, STEPS), "summed": Flip(True, SGD),
    "clip": Flip(1e-3, SGD), "steps": Flip(3), "epochs": Flip(0.001), "minutes": Flip(1e-6),
    "on_nan": Flip("rollback", DIVERGING), "patience": Flip(1, {"lr": 1e-12, "eval_every": 1}),
    "eval_every": Flip(4), "eval_share": Flip(0.0, {}, {"lm": {"sources": "long.txt", "val_fraction": 0.9}}),
    "checkpoint_every": Flip(3), "keep": Flip(1, {"checkpoint_every": 1}),
    "sample_length": Flip(3), "sample_prime": Flip("the"), "sample_temperature": Flip(0.0), "token_dropout": Flip(0.5),
    "every_step": Flip(True, {}, {"forecast": {"batches": "windows"}}),
    "class_weights": Flip(True), "label_smoothing": Flip(0.2), "auxiliary": Flip(0.5),
    "horizon": Flip(3), "device": Flip("cuda"), "processes": Flip(2, {"batch_size": 1}),
    "dtype": Flip("float64"), "accumulate": Flip(2), "memory": Flip("recompute", {}, ROWS), "seed": Flip(1),
}  # fmt: skip

VOLATILE = {"at", "seconds", "tokens_per_s", "eta", "next_eval", "progress", "elapsed"}
"""What differs between two runs of the same settings."""


@pytest.fixture(autouse=True)
def _portable(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Iterator[None]:
    """Nothing is compiled for networks of a few units."""
    monkeypatch.setenv("TUIRNN_KERNELS", "portable")
    native.forget()
    yield
    native.forget()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sources of each task."""
    folder = tmp_path_factory.mktemp("data")
    text = datasets.default_text()
    (folder / "text.txt").write_text(text[:3000])
    (folder / "long.txt").write_text("".join(f"{i * i % 997} " for i in range(40_000)))
    (folder / "twice.txt").write_text(text[:2500] * 2)
    words = sorted({word for word in text.split() if word.isalpha()})[:120]
    rows = [f"{word},{word[::-1]}x,{'aaabbc'[i % 6]},{'uvw'[i % 3]}" for i, word in enumerate(words)]
    rows.append("nothing,gnihtonx,a,u")
    (folder / "table.csv").write_text("\n".join(["text,other,label,kind", *rows]))
    for name, (a, b) in {"series.csv": (7, 5), "other.csv": (3, 4)}.items():
        points = [f"{a * i % 11},{b * i % 13}" for i in range(200)]
        (folder / name).write_text("\n".join(["x,y", *points]))
    dated = [f"0{1 + i // 12 % 9}/0{1 + i % 9}/20{i // 108 + 10},{7 * i % 11}" for i in range(200)]
    (folder / "dated.csv").write_text("\n".join(["date,x", *dated]))
    daily = [f"2020-0{1 + i // 28}-{1 + i % 28:02},{7 * i % 11}" for i in range(200)]
    (folder / "daily.csv").write_text("\n".join(["date,x", *daily]))
    for label in "ab":
        (folder / "folders" / label).mkdir(parents=True)
        for i in range(8):
            lines = [f"{word} {label} {i}" for word in words[4 * i : 4 * i + 3]]
            (folder / "folders" / label / f"{i}.txt").write_text("\n".join(lines))
    return folder


SEEN: dict[str, Observation] = {}
"""Of trainings without a flip, which several settings share."""


def words_of(settings: Settings, data: Path) -> list[str]:
    """Settings as the words of a command line."""
    words = [str(data / settings["sources"])]
    for name, value in settings.items():
        if name != "sources":
            option = name.replace("_", "-")
            words += [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", str(value)]
    return words


def observe(settings: Settings, answer: Callable[..., Answer], data: Path, folder: Path) -> Observation:
    """Everything that a training with these settings leaves and says, but for times and the settings themselves."""
    code, printed, said = answer("train", *words_of(settings, data), "--name", "one", "--runs", str(folder), "--json")
    events = [steady(json.loads(line)) for line in printed.splitlines()]
    seen: Observation = {"code": code, "events": events, "said": said.replace(str(folder), "")}
    paths = RunPaths(folder / "one")
    if paths.root.exists():
        seen["checkpoints"] = checkpoint.steps(paths)
        seen["weights"] = checkpoint.load(paths, "last").files[checkpoint.MODEL] if seen["checkpoints"] else b""
        for log in ("metrics", "samples", "probes"):
            seen[log] = [steady(record) for record in LogTail(getattr(paths, log)).read()]
    return seen


def steady(record: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in record.items() if name not in VOLATILE}, sort_keys=True)


def test_every_setting_has_another_value() -> None:
    assert FLIPS.keys() == FIELDS.keys()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FLIPS)
def test_a_setting_has_an_effect_or_is_refused(
    name: str, task: str, answer: Callable[..., Answer], data: Path, tmp_path: Path
) -> None:
    flip = FLIPS[name]
    base = {**SMALL, **TASKS[task], **flip.base, **flip.own.get(task, {})}
    key = json.dumps(base)
    if key not in SEEN:
        SEEN[key] = observe(base, answer, data, tmp_path / "base")
    flipped = observe({**base, name: flip.value}, answer, data, tmp_path / "flipped")
    assert flipped != SEEN[key], f"{name} = {flip.value} changes nothing with --task {task}"
    if flipped["code"]:
        assert flipped["code"] == 2
        assert flipped["said"].count("\n") == 1
        assert not (tmp_path / "flipped" / "one").exists() or "not finite" in flipped["said"]


@pytest.mark.parametrize("task", TASKS)
def test_the_same_settings_give_the_same(task: str, answer: Callable[..., Answer], data: Path, tmp_path: Path) -> None:
    """Otherwise any setting would seem to have an effect."""
    settings = {**SMALL, **TASKS[task]}
    first = observe(settings, answer, data, tmp_path / "first")
    assert first["code"] == 0
    assert first["metrics"]
    assert first == observe(settings, answer, data, tmp_path / "second")
