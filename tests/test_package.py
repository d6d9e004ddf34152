"""The package: its version, what it contains, what an installation without PyTorch says. `make dist` installs it."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tuirnn
from tuirnn import shipped
from tuirnn.cli import app, importing
from tuirnn.cli.importing import lacking
from tuirnn.runtime import known

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_one_version() -> None:
    """The changelog's newest version and the citation are the version of the code."""
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(each for each in headings if each != "Unreleased") == tuirnn.__version__
    assert f"version: {tuirnn.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert PROJECT["dynamic"] == ["version"]


def test_what_plays_is_everything_but_pytorch_and_tables() -> None:
    """The list of what plays has the bounds of pyproject.toml."""
    listed = [line for line in (ROOT / "requirements-play.txt").read_text().splitlines() if not line.startswith("#")]
    whole = {each for each in PROJECT["dependencies"] if ";" not in each}
    runtimes = {each.partition(";")[0] for each in PROJECT["dependencies"] if each.startswith("onnxruntime>")}
    left_out = {each for each in whole if re.match("torch|pyarrow", each)}
    assert len(left_out) == 2
    assert set(listed) == whole - left_out | runtimes


def test_every_file_that_is_no_module_is_declared() -> None:
    """A file that is not declared would be missing in the wheel."""
    package = ROOT / "tuirnn"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["tuirnn"]
    declared = {path for pattern in patterns for path in package.glob(pattern)}
    tracked = subprocess.run(["git", "ls-files", "tuirnn"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    files = {ROOT / name for name in tracked if not name.endswith(".py")}
    assert files <= declared


def test_the_shipped_cell_is_known_and_found_by_name_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert known.is_known(shipped.cell_path(shipped.CELL).read_bytes())
    done = CliRunner().invoke(app, ["generate", shipped.CELL, "-n", "5", "--seed", "1", "--json"])
    assert len(json.loads(done.stdout)["text"]) == 5
    (tmp_path / shipped.CELL).write_bytes(b"a file of that name comes first")
    assert shipped.cell_path(shipped.CELL) == Path(shipped.CELL)


def test_examples_are_copied_with_a_cell(tmp_path: Path) -> None:
    target = tmp_path / "host"
    done = CliRunner().invoke(app, ["examples", "python-numpy", "-o", str(target)])
    assert done.exit_code == 0
    wrote = subprocess.run(
        [sys.executable, "write.py", "cell.onnx", "KING "], cwd=target, capture_output=True, text=True
    )
    assert wrote.stdout.startswith("KING ")
    again = CliRunner().invoke(app, ["examples", "python-numpy", "-o", str(target)])
    assert "exists already" in str(again.exception)
    assert set(shipped.example_names()) == set(json.loads(CliRunner().invoke(app, ["examples", "--json"]).stdout))


def test_a_cell_that_is_none_leaves_no_folder(tmp_path: Path) -> None:
    target = tmp_path / "host"
    done = CliRunner().invoke(app, ["examples", "c", "-o", str(target), "--cell", str(tmp_path / "absent.onnx")])
    assert "--cell takes an existing cell file" in str(done.exception)
    assert not target.exists()


WITHOUT = """
import importlib.util, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
sys.meta_path.insert(0, Absent())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ("torch", "pyarrow") else found(name, *more)
from tuirnn.cli import main
sys.argv[0] = "tuirnn"
main()
"""


@pytest.mark.parametrize(
    ("words", "library"),
    [(["train"], "torch"), (["sweep", "--seed", "0,1"], "torch"), (["verify"], "torch"), (["bench", "train"], "torch"),
     (["data", "look", "a.csv"], "pyarrow")],
)  # fmt: skip
def test_what_is_not_installed_is_said_in_one_line(
    words: list[str], library: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """`make dist` asks the same of an installation that really lacks them."""
    (tmp_path / "a.csv").write_text("text,label\nle,a\nla,b\n")
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words], cwd=tmp_path, env=environment, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"tuirnn: {lacking(library)}\n"


def test_without_pytorch_the_demo_plays(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, "demo"], cwd=tmp_path, env=environment, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 0
    assert importing.LIBRARIES["torch"] in done.stdout
    assert "ROMEO:" in done.stdout
    assert not any(tmp_path.iterdir())
