"""The dashboard opens without torch, and without ONNX until it is asked to write."""

import subprocess
import sys

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
