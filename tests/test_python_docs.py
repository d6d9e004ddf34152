"""The examples of docs/python.md and the notebook docs/tour.ipynb run as they stand."""

import ast
import doctest
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

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


def notebook() -> nbformat.NotebookNode:
    """The notebook as it is kept: without outputs."""
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code), "kept without outputs"
    return book


def test_the_notebook_runs(tmp_path: Path) -> None:
    """In a real kernel; what a training shows there is one block, renewed in place."""
    book = notebook()
    asked = "(run.state, child.parent['run'], losses[-1] / losses[0])"
    book.cells.append(nbformat.v4.new_code_cell(asked))
    NotebookClient(book, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2

    (training,) = [cell for cell in code if 'name="tide"' in cell.source]
    block, value = training.outputs
    assert "run tide is done at step 90" in block.data["text/html"]
    assert block.data["text/html"].count("best so far") == 3
    assert "<progress" not in block.data["text/html"], "the bar goes at the end"
    assert value.data["text/plain"].startswith("<Run tide: done")

    state, parent, fallen = ast.literal_eval(code[-1].outputs[0].data["text/plain"])
    assert (state, parent) == ("done", "tide")
    assert fallen < 0.7, "the loop learned"
