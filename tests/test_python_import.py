"""What `import tuirnn` and its parts load, and that every name is there."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import tuirnn
from tuirnn.config import FIELDS

ROOT = Path(__file__).parent.parent

LOOK = "import json, sys, time; began = time.process_time(); {}; took = time.process_time() - began; " \
       "print(json.dumps([took, sorted(sys.modules)]))"  # fmt: skip
LIBRARIES = {"torch", "onnxruntime", "textual", "onnx", "numpy", "rich", "typer", "pyarrow", "matplotlib", "pandas"}


def looked(statement: str, folder: Path) -> tuple[float, set[str]]:
    """Processor seconds that a statement takes in a fresh interpreter, and the packages that are imported then."""
    done = subprocess.run([sys.executable, "-c", LOOK.format(statement)], capture_output=True, text=True, check=True,
                          cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    took, modules = json.loads(done.stdout)
    return took, {name.split(".")[0] for name in modules}


def test_the_import_loads_no_library(tmp_path: Path) -> None:
    times = []
    for _ in range(3):
        took, modules = looked("import tuirnn", tmp_path)
        times.append(took)
        assert not modules & LIBRARIES
    assert min(times) < 0.06


@pytest.mark.parametrize(("use", "missing"), [
    ("import tuirnn; tuirnn.runs()", {"torch", "onnxruntime", "textual", "onnx", "rich", "typer"}),
    ("import tuirnn; tuirnn.load", {"torch", "textual", "onnx", "rich", "typer"}),
    ("import tuirnn; tuirnn.train", {"torch", "onnxruntime", "textual", "onnx"}),
])  # fmt: skip
def test_each_part_loads_what_it_needs(use: str, missing: set[str], tmp_path: Path) -> None:
    assert not looked(use, tmp_path)[1] & missing


def test_every_name_is_there_and_no_other() -> None:
    for name in tuirnn.__all__:
        assert getattr(tuirnn, name) is not None
    assert set(tuirnn.HOMES) | set(tuirnn.MODULES) | {"__version__"} == set(tuirnn.__all__) == set(dir(tuirnn))
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = tuirnn.trian  # type: ignore[attr-defined]


def test_the_settings_are_those_of_the_configuration() -> None:
    """`python docs/commands.py` renews them."""
    writer = runpy.run_path(str(ROOT / "docs" / "commands.py"))
    assert writer["MODULE"].read_text() == writer["settings"]()
    from tuirnn.api.settings import Settings

    assert Settings.__annotations__.keys() == FIELDS.keys() - {"sources"}
