"""Which package may import which: the contracts in `pyproject.toml`."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

WRONG = {
    "house": ("cells/wrong.py", "import tuirnn.config"),
    "torch-wing": ("kernels/wrong.py", "import tuirnn.models"),
    "torch-free-wing": ("runtime/wrong.py", "def export():\n    from tuirnn.export.exporter import export_run"),
    "to-torch-free": ("training/wrong.py", "from tuirnn.runtime.session import CellSession"),
    "to-torch": ("export/wrong.py", "def kernel():\n    from tuirnn import models"),
    "torch": ("runs/wrong.py", "def size():\n    import torch"),
    "textual": ("charts/wrong.py", "from textual.app import App"),
    "onnxruntime": ("tui/wrong.py", "import onnxruntime"),
    "circles": ("tasks/wrong.py", "import tuirnn.runs"),
}
"""For each contract a module that breaks it."""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in `folder` against the contracts beside it."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"}
    command = [sys.executable, "-c", code, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", env=environment)


def test_every_layer_imports_only_from_below() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_contract_notices_a_module_that_breaks_it(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tuirnn", tmp_path / "tuirnn", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert WRONG.keys() == {contract["id"] for contract in CONTRACTS}
    for place, source in WRONG.values():
        (tmp_path / "tuirnn" / place).write_text(source)
    (tmp_path / "tuirnn" / "lost.py").touch()
    done = lint(tmp_path)
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    kept = [contract["name"] for contract in CONTRACTS if f"{contract['name']} BROKEN" not in said]
    assert not kept, done.stdout
    assert "lost" in said, "a module without a layer"


# ── what imports alone do not tell ───────────────────────────────────────────────

FILES = {"io", "os", "pathlib", "shutil", "tempfile"}
READERS = ("tuirnn.runs", "tuirnn.runlog", "tuirnn.tasks", "tuirnn.files", "tuirnn.loading", "tuirnn.runtime",
           "tuirnn.export")  # fmt: skip
"""What opens files; a widget may know the types of what was read there, no functions."""


def reading(source: str) -> list[str]:
    """What in a widget's source could open a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [
                name.name for name in node.names if name.name.split(".")[0] in FILES or name.name.startswith(READERS)
            ]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name.name}" for name in node.names]
            if names[0].split(".")[0] in FILES:
                found.append(node.module)
            found += [name for name in names if name.startswith(READERS) and not name.split(".")[-1][0].isupper()]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            found.append("open")
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "tuirnn" / "tui" / "widgets").glob("*.py")), ids=lambda path: path.stem)
def test_widgets_open_no_files(path: Path) -> None:
    assert reading(path.read_text()) == []


def test_what_opens_a_file_is_found() -> None:
    files = "import os.path\nfrom pathlib import Path\ndef f():\n    open('x')"
    assert reading(files) == ["os.path", "pathlib", "open"]
    readers = "from tuirnn.runs.reader import Status, read_status\nfrom tuirnn import text, runlog"
    assert reading(readers) == ["tuirnn.runs.reader.read_status", "tuirnn.runlog"]
