"""The build copies the cell and the examples of `export/` into the package; all else stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

EXPORT, PATTERNS = Path("export"), ("cells/shakespeare.*", "examples/README.md", "examples/*/*")
LEFT_OUT = (".onnx", ".json")  # in the folder of an example, these are a user's own cell
KEPT = ("package.json",)


class Build(build_py):
    """An editable installation reads `export/` itself."""

    def run(self) -> None:
        """Copy the modules, then the files of `export/`."""
        super().run()
        if self.editable_mode:
            return
        for path in (path for pattern in PATTERNS for path in sorted(EXPORT.glob(pattern))):
            own = path.parts[1] == "examples" and path.suffix in LEFT_OUT and path.name not in KEPT
            if path.is_file() and not own:
                target = Path(self.build_lib, "tuirnn", "_shipped", *path.parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


setup(cmdclass={"build_py": Build})
