"""The examples of docs/python.md and the notebook docs/tour.ipynb run as they stand."""

import ast
import doctest
import json
import re
from pathlib import Path
from typing import Any

import pytest

import tuirnn

DOCS = Path(__file__).parent.parent / "docs"
PAGE, NOTEBOOK = DOCS / "python.md", DOCS / "tour.ipynb"

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_examples_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # a fence that ends a code block is no expected output
    text = re.sub(r"^```.*$", "", PAGE.read_text(), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 40
    said: list[str] = []
    result = doctest.DocTestRunner().run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_the_page_names_what_there_is() -> None:
    text = PAGE.read_text()
    named = set(re.findall(r"`?tuirnn\.(\w+)", text)) - {"errors"}
    assert named <= {*tuirnn.__all__}
    classes = {name for name in tuirnn.__all__ if name[0].isupper()} - {"Cell", "Metrics", "Training"}
    assert all(f"`{name}`" in text or f"tuirnn.{name}" in text for name in classes)


def cells() -> list[str]:
    """The code of the notebook's cells."""
    book: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code), "kept without outputs"
    return ["".join(cell["source"]) for cell in code]


def run(source: str, names: dict[str, Any]) -> object:
    """Run a cell; its last line's value where that is an expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
    exec(compile(tree, NOTEBOOK.name, "exec"), names)
    return eval(compile(last, NOTEBOOK.name, "eval"), names) if last else None


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [run(source, names) for source in cells()]
    assert names["run"].state == "done"
    pictures = [value for value in shown if hasattr(value, "savefig")]
    assert len(pictures) == 2
    assert pictures[0]._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    before, after = shown[-1]  # type: ignore[misc]
    assert after < 0.7 * before, "the loop learned"
    assert names["child"].parent["run"] == "tide"
