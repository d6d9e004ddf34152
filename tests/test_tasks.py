"""A task is one object (Rule 2 of the design): nothing outside asks for its name; a new one is two additions."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_names import _excused

from tuirnn import tasks
from tuirnn.config import FIELDS, RunConfig, load_recipe, recipe_names
from tuirnn.errors import ConfigError
from tuirnn.tasks import TASKS
from tuirnn.training.tasks import half_of

ROOT = Path(__file__).parent.parent
OWN = (ROOT / "tuirnn" / "tasks", ROOT / "tuirnn" / "training" / "tasks")

OF_A_TASK = rf"tuirnn\.(training\.)?tasks\.({'|'.join(TASKS)})(\..*)?"

ALLOWED = 5
"""Lines outside a task's own folders that may name one."""

LINES = ["anna sings", "bob runs", "ida rows", "otto reads", "mia naps", "uwe bakes", "karl jumps", "eve digs"]


def named(source: str) -> list[int]:
    """The lines of a Python file that hold a task's name as a string, or import what is a task's own."""
    tree = ast.parse(source)
    excused = {id(node) for node in _excused(tree)}
    found = []
    for node in ast.walk(tree):
        if id(node) in excused:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in TASKS:
            found.append(node.lineno)
        if isinstance(node, ast.ImportFrom) and re.fullmatch(OF_A_TASK, node.module or ""):
            found.append(node.lineno)
    return found


def test_tasks_are_named_in_their_own_folders_alone() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / "tuirnn").rglob("*.py")
        if not any(own in path.parents for own in OWN)
        for line in named(path.read_text())
    }
    assert len(found) <= ALLOWED, sorted(found)
    assert named("if task == 'lm': from tuirnn.tasks.lm.data import load") == [1, 1]
    assert not named("'''lm'''\ndef load(task: str = 'lm'): pass")


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_task_declares_what_it_is(task: tasks.Task) -> None:
    assert task.settings <= FIELDS.keys()
    assert task.figures[0].key == "loss"
    assert task.points + task.labelled + task.writes == 1
    known = {"val_loss": 1.25, **{figure.status_key: 0.5 for figure in task.figures[1:]}}
    assert "1.25" in task.told(known, "nats")
    assert "{}" not in task.hint("king")
    half_of(RunConfig().replace(task=task.name))


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
@pytest.mark.parametrize("setting", sorted({name for task in TASKS.values() for name in task.settings}))
def test_settings_that_a_task_does_not_read_are_refused(task: tasks.Task, setting: str) -> None:
    config = RunConfig().replace(task=task.name)
    if setting in task.settings:
        assert tasks.reads(task, setting)
        assert setting not in config.unread - config.model.unread
    else:
        flag = "--" + setting.replace("_", "-")
        with pytest.raises(ConfigError, match=f"^{flag} has no effect on --task {task.name}: only .* read it"):
            config.check_given({setting: FIELDS[setting][1].default})
        assert setting in config.unread


def test_recipes_give_only_settings_that_are_read() -> None:
    assert {name: load_recipe(name).unread for name in recipe_names() if load_recipe(name).unread} == {}


def test_a_recipe_of_somebody_may_give_others_and_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text('[train]\nhorizon = 3\nsample_length = 5\n[model]\nreset = "before"\n')
    recipe = load_recipe(str(tmp_path / "old.toml"))
    assert recipe.config.display.sample_length == 5  # where it stood in older versions
    assert recipe.unread == ["horizon", "reset"]


TASK = '''
"""Does a line begin with a vowel?"""

from pathlib import Path
from typing import Any

from tuirnn.figures import PERCENT, Figure
from tuirnn.tasks.task import OF_TOKENS, Held, OpenCell, Report, Task, TaskData


class Vowels(Task):
    name, noun, does, source = "vowels", "vowel finder", "finds vowels", "lines"
    learns = "whether a line begins with a vowel"
    figures = (Figure("loss", "loss", "nats/line"), Figure("hits", "hits", PERCENT, higher=True))
    loss_in = ("nats", "lines")
    settings = OF_TOKENS
    labelled = True

    def load(self, config, *, vocab=None, known=None, stdin=None):
        import numpy as np

        from tuirnn.tasks import sources
        from tuirnn.tasks.classify.data import Examples, LabelledData
        from tuirnn.vocab import Vocabulary

        source = sources.load(config.sources, stdin=stdin)
        lines = source.text().split("\\n")
        vocab = vocab or Vocabulary.build(source.text(), "char")
        parts = [Examples(tuple(map(vocab.encode, part)), np.array([line[0] in "aeiou" for line in part], np.int64))
                 for part in (lines[:-2], lines[-2:], [])]
        return LabelledData(source.name, source.sha256, source.data, vocab, ("no", "yes"), *parts)

    def weigh(self, cell, data):
        return 1.0, 1

    def evaluate(self, cell, held):
        return Report({"lines": len(held.data().val)}, ["as expected"])

    def predict(self, cell, text):
        stepper = cell.stepper(1)
        for token in cell.metadata.vocab.encode(text):
            logits = stepper.step(int(token))[0]
        answer = cell.metadata.classes[int(logits.argmax())]
        return Report({"answer": answer}, [answer])


TASK = Vowels()
'''

HALF = """
from tuirnn.training.evaluator import Evaluation, Evaluator
from tuirnn.training.losses import CrossEntropy
from tuirnn.training.tasks import Half
from tuirnn.training.tasks.classify import ClassEvaluator


class VowelEvaluator(ClassEvaluator):
    def measure(self, step):
        found = super().measure(step)
        return Evaluation(found.loss, {"hits": found.figures["accuracy"]}, found.text, found.probed)


HALF = Half(lambda config, data, device: CrossEntropy(), VowelEvaluator)
"""


def test_a_new_task_is_a_package_and_a_module(tmp_path: Path) -> None:
    """Nothing else is edited: it trains, resumes, is listed, exported, evaluated and asked."""
    shutil.copytree(ROOT / "tuirnn", tmp_path / "tuirnn", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tuirnn" / "tasks" / "vowels").mkdir()
    (tmp_path / "tuirnn" / "tasks" / "vowels" / "__init__.py").write_text(TASK)
    (tmp_path / "tuirnn" / "training" / "tasks" / "vowels.py").write_text(HALF)
    (tmp_path / "lines.txt").write_text("\n".join(LINES))

    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TUIRNN_RUNS": str(tmp_path / "runs")}
        command = [sys.executable, "-m", "tuirnn", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    small = ("--hidden", "8", "--steps", "6", "--eval-every", "3", "--batch-size", "4", "--device", "cpu")
    assert "hits" in run("train", "lines.txt", "--task", "vowels", "--name", "v", *small)
    assert "vowels" in run("train", "--help")
    run("train", "--resume", "v", "--steps", "8")
    assert json.loads((tmp_path / "runs" / "v" / "status.json").read_text())["hits"] >= 0
    assert json.loads(run("runs", "ls", "--json"))[0]["name"] == "v"
    assert "loss" in run("runs", "show", "v")
    run("export", "v", "-o", "v.onnx")
    assert "no, yes" in run("inspect", "v.onnx")
    assert json.loads(run("eval", "v", "--json")) == {"model": "v", "lines": 2}
    assert run("predict", "v.onnx", "anna").strip() in ("no", "yes")
    assert json.loads(run("predict", "v", "otto", "--json"))["answer"] in ("no", "yes")
