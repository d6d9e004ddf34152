"""What the dashboard's modules import: nothing heavy, nothing in a circle, and screens never the app."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import tuirnn.tui

FOREIGN = (
    "torch",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "tuirnn.loading",
    "tuirnn.runtime",
    "tuirnn.export",
    "tuirnn.training",
)


def test_heavy_modules_stay_out() -> None:
    script = (
        "import sys, pkgutil, importlib, tuirnn.tui\n"
        "for one in pkgutil.walk_packages(tuirnn.tui.__path__, 'tuirnn.tui.'): importlib.import_module(one.name)\n"
        f"print([name for name in {FOREIGN!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_first_frame_needs_neither_numpy_nor_the_settings() -> None:
    """They take long to import: the frame is drawn before."""
    script = "import sys, tuirnn.tui.start; print([one for one in ('numpy', 'tuirnn.config') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def imports() -> dict[str, set[str]]:
    """The modules of the dashboard that each module imports, including imports in functions and for type checkers."""
    root = Path(tuirnn.tui.__path__[0])
    files = {".".join(path.relative_to(root).with_suffix("").parts): path for path in root.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        named = [f"{node.module}.{name.name}".removeprefix("tuirnn.tui.") for node in nodes for name in node.names]
        found[module] = {one for name in named for one in (name, name.rpartition(".")[0]) if one in files}
    return found


def test_the_modules_form_no_circle() -> None:
    found = imports()
    assert len(found) > 30
    graphlib.TopologicalSorter(found).prepare()


def test_screens_know_no_app_and_widgets_no_screens() -> None:
    found = imports()
    assert {module for module, known in found.items() if "app" in known} == {"start"}
    for module, known in found.items():
        if module.startswith("widgets."):
            assert not any(one.startswith("screens.") or one == "context" for one in known), module
