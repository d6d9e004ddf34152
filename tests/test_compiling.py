"""C and C++ sources are compiled once per machine, or there is a reason why not."""

import shutil
from pathlib import Path

import pytest

from tuirnn import compiling

needs_compiler = pytest.mark.skipif(compiling.compiler("c") is None, reason="no C compiler")


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache"))


def written(folder: Path, text: str) -> list[compiling.Unit]:
    source = folder / "numbers.c"
    source.write_text(text)
    return [compiling.Unit(source, (f"NAME={name}", f"VALUE={value}")) for name, value in (("two", 2), ("three", 3))]


@needs_compiler
def test_units_with_macros_of_their_own_become_one_library_once(tmp_path: Path) -> None:
    units = written(tmp_path, "int NAME(void) { return VALUE; }")
    assert compiling.is_to_be_compiled(units, "c", ["-O1"])
    library, why = compiling.load(units, "c", ["-O1"])
    assert library is not None, why
    assert (library.two(), library.three()) == (2, 3)
    assert not compiling.is_to_be_compiled(units, "c", ["-O1"])
    assert compiling.is_to_be_compiled(units, "c", ["-O2"])
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".so"]  # and nothing half-made


@needs_compiler
def test_what_does_not_compile_is_a_reason_and_leaves_nothing(tmp_path: Path) -> None:
    library, why = compiling.load(written(tmp_path, "int NAME(void) { return WORTH; }"), "c", [])
    assert library is None
    assert why.startswith("numbers.c did not compile: ")
    assert not list((tmp_path / "cache").iterdir())


def test_without_a_compiler_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    units = written(tmp_path, "")
    assert compiling.load(units, "c++", []) == (None, "no C++ compiler (install g++)")
    assert not compiling.is_to_be_compiled(units, "c++", [])
