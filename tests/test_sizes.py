"""No file over 400 lines, no function over 60."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE, FUNCTION = 400, 60
SUFFIXES = {".py", ".cpp", ".h", ".c", ".js", ".mjs", ".html"}
OPENING = re.compile(r"^(?!struct|class|namespace|extern|enum|union|typedef)\w[^;#]*\{$")
"""The first line of a function at the left margin in C, C++ and JavaScript."""


def sources() -> list[Path]:
    """The source files of the repository, as git lists them; all but caches and environments where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    names = listed.stdout.splitlines() if listed.returncode == 0 else [
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if not any(part[0] == "." for part in path.parts)
    ]  # fmt: skip
    return [ROOT / name for name in names if Path(name).suffix in SUFFIXES and (ROOT / name).is_file()]


def functions(path: Path) -> dict[str, int]:
    """The length in lines of every function of a file, by its name and line."""
    text = path.read_text()
    if path.suffix == ".py":
        return {
            f"{node.name}, line {node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
    found, begun = {}, 0
    for number, line in enumerate(text.splitlines(), 1):
        if OPENING.match(line):
            begun = number
        elif begun and line.startswith("}"):
            found[f"line {begun}"], begun = number - begun + 1, 0
    return found


def too_long(path: Path) -> list[str]:
    """What of a file is longer than allowed."""
    lines = len(path.read_text().splitlines())
    found = [f"{path}: {lines} lines"] if lines > FILE else []
    return found + [f"{path}, {name}: {n} lines" for name, n in functions(path).items() if n > FUNCTION]


def test_files_and_functions_are_short() -> None:
    paths = sources()
    assert len(paths) > 100
    assert [line for path in paths for line in too_long(path)] == []


@pytest.mark.parametrize("suffix", [".py", ".c"])
def test_a_long_function_and_a_long_file_are_found(suffix: str, tmp_path: Path) -> None:
    body = "    pass\n" * FUNCTION if suffix == ".py" else "{\n" + "    ;\n" * (FUNCTION - 1) + "}\n"
    path = tmp_path / f"long{suffix}"
    path.write_text(("def f():\n" if suffix == ".py" else "int f(int x) ") + body)
    (said,) = too_long(path)
    assert said.endswith(f"{FUNCTION + 1} lines")
    path.write_text("\n" * (FILE + 1))
    assert too_long(path) == [f"{path}: {FILE + 1} lines"]
