"""Findings in words: each in a real small run that shows it; a healthy short one is told that alone."""

import contextlib
import json
import random
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from conftest import train_small
from typer.testing import CliRunner

from tuirnn.api.runs import Run
from tuirnn.cli import app
from tuirnn.config import RunConfig
from tuirnn.diagnosis import Finding, diagnose
from tuirnn.errors import DivergedError
from tuirnn.runlog.feed import whole
from tuirnn.runlog.probes import ProbeLog
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import summarize
from tuirnn.runs.reader import RunRecord, Status
from tuirnn.runs.writer import RunWriter
from tuirnn.training import launch
from tuirnn.vocab import Vocabulary

WORDS = tuple(
    re.findall(r"\w+", "the sea was calm and the light of a low moon lay on it as on glass while men slept below")
)


def prose(characters: int, seed: int = 0) -> str:
    """Words in random order: there is something to learn, and an end to it."""
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(characters // 5))[:characters]


def found_in(paths: RunPaths) -> dict[str, Finding]:
    run = summarize(paths)
    return {one.name: one for one in diagnose(run, whole(paths), ProbeLog(paths.probes).read())}


CASES: dict[str, tuple[int, dict[str, Any], set[str]]] = {
    "healthy": (60_000, {"lr": 5e-3, "hidden": 32}, {"short"}),
    "clipping": (60_000, {"clip": 0.01}, {"clipping"}),
    "rate-low": (60_000, {"lr": 2e-5, "schedule": "constant", "warmup": 0}, {"rate-low"}),
    "rate-high": (60_000, {"lr": 1.0, "warmup": 100, "schedule": "constant", "clip": 0.0}, {"rate-high", "saturated"}),
    "saturated": (60_000, {"lr": 0.3, "schedule": "constant"}, {"saturated"}),
    "overfitting": (
        1_500,
        {"lr": 1e-2, "hidden": 96, "steps": 300, "eval_every": 30, "val_fraction": 0.3, "schedule": "constant"},
        {"overfitting", "small-data"},
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("diagnosis")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("one_thread")
def test_a_run_that_shows_it_is_told_so(folder: Path, name: str) -> None:
    characters, settings, wanted = CASES[name]
    (source := folder / f"{name}.txt").write_text(prose(characters))
    paths = train_small(folder, name, source, **{"steps": 160, "eval_every": 40, **settings})
    found = found_in(paths)
    assert wanted <= set(found), found
    assert name != "healthy" or wanted == set(found)
    assert not {"clipping", "rate-high"} <= set(found), "two pieces of advice that contradict each other"
    for one in found.values():
        assert any(digit in one.evidence for digit in "0123456789"), "evidence is figures"
        assert "--" in one.advice, "and the advice names what to change"


@pytest.mark.usefixtures("one_thread")
def test_a_loss_that_is_not_finite_is_a_rate_too_high(tmp_path: Path) -> None:
    (source := tmp_path / "text.txt").write_text(prose(6_000))
    with contextlib.suppress(DivergedError):
        train_small(tmp_path, "nan", source, lr=1e5, optimizer="sgd", clip=0.0)
    one = found_in(RunPaths(tmp_path / "nan"))["rate-high"]
    assert "not finite" in one.evidence
    assert "--lr 0.01" in one.advice


@pytest.mark.usefixtures("one_thread")
def test_a_network_that_gives_one_answer_is_told_so(tmp_path: Path) -> None:
    chance = random.Random(1)

    def words(count: int) -> list[str]:
        return ["".join(chance.choice("abc") for _ in range(3)) for _ in range(count)]

    tagged = ("\n".join(f"{one} {'B-PER' if chance.random() < 0.1 else 'O'}" for one in words(5)) for _ in range(150))
    (tmp_path / "t.conll").write_text("\n\n".join(tagged))
    labelled = (f"{' '.join(words(2))},{'rare' if i % 10 == 0 else 'usual'}" for i in range(200))
    (tmp_path / "c.csv").write_text("text,label\n" + "\n".join(labelled))
    changes = {"hidden": 8, "lr": 1e-2, "steps": 40}
    one = found_in(train_small(tmp_path / "runs", "outside", tmp_path / "t.conll", task="tag", **changes))["one-answer"]
    assert one.what == "answers 'O' to everything"
    told = re.fullmatch(
        r"'O' is the answer to 100 % of the held-out words at step 40; it is right for ([\d.]+) % of them", one.evidence
    )
    assert told
    assert 80 < float(told[1]) < 99
    assert "try --lr 0.03," in one.advice
    assert "--class-weights" not in one.advice  # which a tagger does not read
    shown = CliRunner().invoke(app, ["runs", "show", "outside", "--runs", str(tmp_path / "runs")]).stdout
    assert "answers 'O' to everything" in shown
    one = found_in(train_small(tmp_path / "runs", "usual", tmp_path / "c.csv", task="classify", **changes))[
        "one-answer"
    ]
    assert one.what == "answers 'usual' to everything"
    assert "or --class-weights" in one.advice


def test_losses_of_different_steps_are_no_evidence(tmp_path: Path) -> None:
    record = RunRecord(
        config=RunConfig(), vocab=Vocabulary.build("ab", "char"), data={"train": 1_000}, environment={}, created=0.0,
        parameters=5_000,
    )  # fmt: skip
    with RunWriter.create(tmp_path, "early", record) as writer:
        steps = [{"step": k, "split": "train", "at": float(k), "loss": 3.0 - k / 100} for k in range(1, 201)]
        writer.append("metrics", *steps[:50], {"step": 50, "split": "val", "at": 50.0, "loss": 2.5}, *steps[50:])
        writer.status(Status(state="done", step=200, val_loss=2.5, best_val_loss=2.5, best_step=50))
    assert "small-data" not in found_in(RunPaths(tmp_path / "early"))
    with RunWriter(RunPaths(tmp_path / "early")) as writer:
        writer.append("metrics", {"step": 200, "split": "val", "at": 200.0, "loss": 2.9})
    assert "held-out loss 2.900" in found_in(RunPaths(tmp_path / "early"))["small-data"].evidence


def test_a_network_far_too_large_is_given_a_width(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(prose(300))
    told: list[str] = []
    config = RunConfig().replace(sources=(str(tmp_path / "t.txt"),), hidden=128, batch_size=2, seq_len=16, steps=1)
    launch.start(config, tmp_path, "large", lambda event: told.append(getattr(event, "message", "")))
    (width,) = (int(found[1]) for line in told if (found := re.search(r"try --hidden (\d+), or more data", line)))
    launch.start(
        config.replace(hidden=width), tmp_path, "fits", lambda event: told.append(getattr(event, "message", ""))
    )
    assert sum("memorise" in line for line in told) == 1


def test_runs_show_says_it(folder: Path) -> None:
    name = "clipping"
    if not (folder / name).exists():
        pytest.skip("needs the run of the test above")
    shown = CliRunner().invoke(app, ["runs", "show", name, "--runs", str(folder)]).stdout
    assert "findings" in shown
    assert "every gradient is clipped" in shown
    told = json.loads(CliRunner().invoke(app, ["runs", "show", name, "--json", "--runs", str(folder)]).stdout)
    assert [one["name"] for one in told["findings"]] == ["clipping"]
    assert [asdict(one) for one in Run(name, runs=folder).findings] == told["findings"]


def test_who_answers_rightly_is_not_told_of_small_data(tmp_path: Path) -> None:
    """A classifier's training loss contains more than that of the held-out part; its answers decide."""
    record = RunRecord(
        config=RunConfig.of("classify").replace(dropout=0.5), vocab=Vocabulary.build("ab", "char"),
        data={"train": 200, "classes": ["a", "b"]}, environment={}, created=0.0, parameters=400_000,
    )  # fmt: skip
    for name, right, wanted in (("knows", 1.0, False), ("guesses", 0.6, True)):
        with RunWriter.create(tmp_path, name, record) as writer:
            writer.append("metrics", *({"step": k, "split": "train", "at": k, "loss": 0.3} for k in range(1, 201)))
            for step in (100, 200):
                writer.append("metrics", {"step": step, "split": "val", "at": step, "loss": 0.06, "accuracy": right})
            writer.status(Status(state="done", step=200, val_loss=0.06, best_val_loss=0.06, best_step=100))
        found = found_in(RunPaths(tmp_path / name))
        assert ("small-data" in found) == wanted
        assert all("--dropout" not in one.advice for one in found.values()), "it drops more than that already"


@pytest.mark.parametrize(
    ("last", "best", "limits", "advice"),
    [
        (1.90, 200, {"steps": 200}, "--steps 400"),
        (1.90, 200, {"minutes": 1.5, "epochs": 2.0}, "--minutes 3 --epochs 4"),
        (1.90, 200, {}, "--steps 400"),
        (1.90, 100, {"steps": 200}, ""),
        (1.99, 200, {"steps": 200}, ""),
    ],
)
def test_a_run_that_ends_while_it_learns_is_told_how_to_go_on(
    last: float, best: int, limits: dict[str, float], advice: str, tmp_path: Path
) -> None:
    record = RunRecord(
        config=RunConfig().replace(**limits), vocab=Vocabulary.build("ab", "char"), data={"train": 10**6},
        environment={}, created=0.0, parameters=5_000,
    )  # fmt: skip
    with RunWriter.create(tmp_path, "one", record) as writer:
        losses = [3.0] * 20 + [2.0] * 140 + [last] * 40
        writer.append(
            "metrics", *({"step": k, "split": "train", "at": k, "loss": loss} for k, loss in enumerate(losses, 1))
        )
        for step in (100, 200):
            writer.append("metrics", {"step": step, "split": "val", "at": step, "loss": 2.0})
        writer.status(Status(state="done", step=200, val_loss=2.0, best_val_loss=2.0, best_step=best))
    found = found_in(RunPaths(tmp_path / "one"))
    assert [one.advice for one in found.values()] == [f"go on: tuirnn train --resume one {advice}"] * bool(advice)


@pytest.mark.parametrize(("right", "told"), [(0.97, True), (1.0, False)])
def test_who_answers_all_rightly_is_not_told_to_go_on(right: float, told: bool, tmp_path: Path) -> None:
    record = RunRecord(
        config=RunConfig.of("classify").replace(steps=200), vocab=Vocabulary.build("ab", "char"),
        data={"train": 10**6, "classes": ["a", "b"]}, environment={}, created=0.0, parameters=5_000,
    )  # fmt: skip
    with RunWriter.create(tmp_path, "one", record) as writer:
        losses = [1.0] * 20 + [0.02] * 140 + [0.01] * 40
        writer.append(
            "metrics", *({"step": k, "split": "train", "at": k, "loss": loss} for k, loss in enumerate(losses, 1))
        )
        for step in (100, 200):
            writer.append("metrics", {"step": step, "split": "val", "at": step, "loss": 0.02, "accuracy": right})
        writer.status(Status(state="done", step=200, val_loss=0.02, best_val_loss=0.02, best_step=200))
    assert ("short" in found_in(RunPaths(tmp_path / "one"))) == told
