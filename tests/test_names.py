"""A cell's name, and its gates, stand in its own file, nowhere else in the program."""

import ast
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tuirnn.cells import CELLS, find_cell

ROOT = Path(__file__).parent.parent
OWN = ROOT / "tuirnn" / "cells"
FOLDERS = ("tuirnn", "benchmarks", "export", "docs")

NAMES = {name for cell in CELLS.values() for name in (cell.name, cell.family)}
"""What no string may be equal to."""

GATES = {letter for cell in CELLS.values() for letter in cell.gates}

ENUMERATORS = {
    word for name in NAMES for word in (name.upper().replace("-", "_"), f"{name.upper()}_TANH", f"{name.upper()}_AFTER")
}
"""How a name is written as a constant of C, with the form of the first of a family."""


def names_in(source: str) -> list[str]:
    """Strings equal to a cell's name, and tables of gates, in a Python file; but for docstrings and defaults."""
    tree = ast.parse(source)
    excused = {id(node) for node in _excused(tree)}
    found = []
    for node in ast.walk(tree):
        if id(node) in excused:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMES:
            found.append(f"line {node.lineno}: '{node.value}'")
        if table := _gates(node):
            found.append(f"line {node.lineno}: gates {table}")  # type: ignore[attr-defined]
    return found


def _excused(tree: ast.AST) -> Iterator[ast.AST]:
    """What stands in docstrings and in defaults: of parameters, of fields and of a command line's options."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        elif isinstance(node, ast.arguments):
            for default in filter(None, (*node.defaults, *node.kw_defaults)):
                yield from ast.walk(default)
        elif isinstance(node, ast.keyword) and node.arg == "default":
            yield from ast.walk(node.value)
        elif isinstance(node, ast.ClassDef):
            for field in node.body:
                value = field.value if isinstance(field, ast.AnnAssign) else None
                yield from (value.args[:1] if isinstance(value, ast.Call) else filter(None, [value]))


def _gates(node: ast.AST) -> str:
    """The gates that a collection lists, where it lists some of a cell's: two letters or more, and nothing else."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        items: Sequence[ast.AST | None] = node.elts
    elif isinstance(node, ast.Dict):
        items = node.keys
    else:
        return ""
    letters = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    if len(letters) < max(2, len(items)):
        return ""
    known = any(set(letters) <= set(cell.gates) for cell in CELLS.values()) or set(letters) <= GATES
    return " ".join(letters) if known else ""


def enumerators_in(source: str) -> list[str]:
    """Identifiers that are a cell's name in capitals, and strings equal to one, in a C or C++ file without comments."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)
    words = re.findall(r"\b[A-Z][A-Z0-9_]*\b", code)
    return sorted({word for word in words if word in ENUMERATORS} | set(re.findall(r'"([a-z0-9-]+)"', code)) & NAMES)


def files() -> list[Path]:
    """Every file that could name a cell."""
    kinds = ("*.py", "*.h", "*.cpp", "*.c", "*.cu")
    found = [path for folder in FOLDERS for kind in kinds for path in (ROOT / folder).rglob(kind)]
    return sorted(path for path in found if OWN not in path.parents and "node_modules" not in path.parts)


def found_in(path: Path) -> list[str]:
    """What a file names."""
    return (names_in if path.suffix == ".py" else enumerators_in)(path.read_text("utf-8"))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_but_a_cells_own_names_it(path: Path) -> None:
    assert not found_in(path), f"{path.relative_to(ROOT).as_posix()} names cells or lists gates; ask tuirnn.cells"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_search_finds_every_name_wherever_it_counts(name: str) -> None:
    for source in (f"x = '{name}'", f"if cell == '{name}': pass", f"d = {{'{name}': 1}}", f"f(cell='{name}')",
                   f"def f(x=1): return '{name}'", f"match x:\n    case '{name}': pass"):  # fmt: skip
        assert names_in(source), source
    for source in (f"def f(cell='{name}'): pass", f"def f():\n    '{name}'", f"# {name}\n",
                   f"class A:\n    cell: str = '{name}'", f"class A:\n    cell: str = option('{name}', 'help')",
                   f"p.add_argument('--cell', default='{name}')", f"x = 'the {name}'"):  # fmt: skip
        assert not names_in(source), source
    word = name.upper().replace("-", "_")
    assert enumerators_in(f"enum Kind {{ {word} = 2 }};")
    assert enumerators_in(f'if (!strcmp(x, "{name}")) return;')
    assert not enumerators_in(f"// {word}\n/* {word} */ int x{word.lower()};")


@pytest.mark.parametrize("cell", [cell for cell in CELLS.values() if len(cell.gates) > 1], ids=lambda cell: cell.name)
def test_the_search_finds_tables_of_gates(cell: str) -> None:
    gates = CELLS[getattr(cell, "name", "")].gates
    quoted = [f"'{gate}'" for gate in gates]
    assert names_in(f"x = ({', '.join(quoted)})")
    assert names_in(f"x = [{', '.join(reversed(quoted))}]")
    assert names_in(f"x = {{{', '.join(f'{gate}: 1' for gate in quoted)}}}")
    assert not names_in(f"x = ({quoted[0]},)")
    assert not names_in(f"x = ({quoted[0]}, 'another word')")


@pytest.mark.parametrize("cell", CELLS.values(), ids=lambda cell: cell.name)
def test_a_cells_settings_lead_back_to_it(cell: object) -> None:
    settings = dict(CELLS[getattr(cell, "name", "")].settings)
    assert find_cell(settings.pop("cell"), **settings) is cell


def test_names_are_words_of_the_command_line() -> None:
    assert all(set(name) <= set(string.ascii_lowercase + string.digits + "-") for name in NAMES)
