"""`tuirnn data look`, and texts in several files and encodings."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import LINE
from test_classify_inputs import fill, written
from test_forecast_inputs import dated
from typer.testing import CliRunner

from tuirnn.cli import app
from tuirnn.errors import ConfigError, DataError
from tuirnn.settings.data import DataConfig
from tuirnn.tasks.lm import data as lm
from tuirnn.tasks.look import MOST, looks_like_table, suited
from tuirnn.tasks.sources import located


def looked(*words: str | Path) -> str:
    done = CliRunner().invoke(app, ["data", "look", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_tells_what_training_would(tmp_path: Path) -> None:
    rows = written("id,comment,target", "{key},{text},{label}")
    (tmp_path / "r.csv").write_text(rows + "0,,pos\n1,,neg\n")
    said = looked(tmp_path / "r.csv")
    assert said.startswith("r.csv for --task classify: ")
    assert "text: column 'comment' (by its name); label: column 'target' (by its name)" in said
    assert "2 classes: pos 20, neg 20" in said
    assert "2 sequences without text left out" in said
    (tmp_path / "s.csv").write_text("\n".join(["date,x", *dated("%Y-%m-%d")[::-1]]))
    said = looked(tmp_path / "s.csv")
    assert said.startswith("s.csv for --task forecast: ")
    assert "newest row first: order reversed" in said
    assert "to learn: x" in said
    (tmp_path / "t.txt").write_bytes((LINE + "für\n").encode("cp1252"))
    said = looked(tmp_path / "t.txt")
    assert said.startswith("t.txt for --task lm: ")
    assert "cp1252 (detected" in said
    folder = fill(tmp_path / "f", {f"{c}/{i}.txt": f"{c} {i}" for c in ("a", "b") for i in range(12)})
    assert "24 files in 2 folders, one class per folder, one sequence per file" in looked(folder)


def test_json_is_an_object_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(written("text,label", "{text},{label}"))
    lines = looked(tmp_path / "r.csv", tmp_path / "r.csv", "--task", "classify", "--json").splitlines()
    first, second = map(json.loads, lines)
    assert first == second
    assert first["task"] == "classify"
    assert first["read"]["dialect"]["header"] is True
    assert first["sample"] == first["bytes"] == (tmp_path / "r.csv").stat().st_size


def test_what_training_would_refuse_it_refuses(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(written("title,headline,label", "{text} a,{text} b,{label}"))
    for words, kind, match in (
        (["--task", "classify"], DataError, "--text-column"),
        (["--task", "lm", "--delimiter", ";"], ConfigError, "--delimiter has no effect on --task lm"),
        (["--task", "forecast", "--decimal", "x"], ConfigError, "--decimal 'x' is unknown"),
    ):
        done = CliRunner().invoke(app, ["data", "look", str(tmp_path / "r.csv"), *words])
        assert isinstance(done.exception, kind)
        assert match in str(done.exception)
    assert "'headline'" in looked(tmp_path / "r.csv", "--task", "classify", "--text-column", "headline")


def test_a_large_file_is_judged_by_its_beginning(tmp_path: Path) -> None:
    with open(tmp_path / "big.csv", "wb") as file:
        file.write(b"x,y\n" + b"".join(b"%d.5,%d\n" % (i * i % 97, i % 7) for i in range(MOST // 6)))
        assert file.tell() > MOST
        file.truncate(2**30)  # zeros take no room, and would be refused if they were read
    seen = json.loads(looked(tmp_path / "big.csv", "--json"))
    assert (seen["task"], seen["bytes"]) == ("forecast", 2**30)
    assert 0.99 * MOST < seen["sample"] <= MOST
    assert f"1,073,741,824 bytes, judged by {seen['sample']:,} of them" in looked(tmp_path / "big.csv")
    (tmp_path / "big.txt").write_bytes("é".encode() * MOST)  # no line, and the last character may be cut
    assert json.loads(looked(tmp_path / "big.txt", "--json"))["read"]["files"][0]["encoding"] == "utf-8"


# ── texts ────────────────────────────────────────────────────────────────────────


def text_of(*files: Path, **settings: Any) -> lm.TextData:
    return lm.load(DataConfig(sources=tuple(map(str, files)), **settings))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_each_file_has_its_own_encoding(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(("é" + LINE * 3).encode("utf-8-sig"))
    (tmp_path / "b.txt").write_bytes((LINE * 3 + "é").encode(encoding))
    (tmp_path / "c.txt").write_text(LINE * 3)
    data = text_of(tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt")
    assert set(data.vocab.symbols) == set(LINE + "é")
    assert [file["name"] for file in data.read["files"]] == ["a.txt", "b.txt", "c.txt"]
    assert len(data.notes) == 2
    assert data.notes[0] == "a.txt: utf-8 (byte order mark)"
    assert len(data.train) + len(data.val) == len(LINE) * 9 + 4


def test_the_bad_file_is_named(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text(LINE * 20)
    bad.write_bytes(b"x\0\1\2" * 20)
    with pytest.raises(DataError, match=r"^bad\.txt is binary .* --tokens byte"):
        text_of(good, bad, good)
    bad.write_bytes(("è" * 30 + LINE).encode() + b"\xff")
    with pytest.raises(DataError, match=r"^bad\.txt is UTF-8 except for 1 places"):
        text_of(good, bad)
    assert "\N{REPLACEMENT CHARACTER}" in text_of(good, bad, encoding="utf-8").vocab.symbols
    assert len(text_of(good, bad, tokens="byte").vocab) == 256


def test_lists_are_shuffled_in_any_encoding(tmp_path: Path) -> None:
    names = "\n".join(f"name {i} é" for i in range(50))
    (tmp_path / "a.txt").write_text(names)
    (tmp_path / "b.txt").write_text(names, encoding="utf-16")
    one, two = (text_of(tmp_path / name, lines=True) for name in ("a.txt", "b.txt"))
    assert one.train.tolist() == two.train.tolist()


TABLES_BY_CONTENT = {
    "flowers.data": [f"{5 + i % 3}.{i % 10},{3 + i % 2}.1,{1 + i % 4}.4,0.{i % 7},kind-{i % 3}" for i in range(60)],
    "power.txt": ["Date;Time;Power", *(f"{1 + i % 28}/12/2006;17:{10 + i % 50}:00;4.{i}" for i in range(60))],
    "grades.dat": ['"name"|"mark"|"year"', *(f'"name {i}"|{i % 6}|{2000 + i}' for i in range(20))],
    "level.dat": [f"{i / 7:.3f}  {i % 9} {i * i:.1f}" for i in range(30)],
}
NO_TABLES = {
    "names.txt": ["Smith, Anna", *(f"Miller, Bert {'b' * i}" for i in range(40))],
    "poem.txt": [f"line {i}, a word, and one more" for i in range(40)],
    "log.txt": [f"2026-01-{1 + i % 28:02} {'warning ' * (i % 3)}request {i}" for i in range(40)],
    "short.txt": ["1,2", "3,4"],
}


@pytest.mark.parametrize("name", TABLES_BY_CONTENT)
def test_a_table_is_told_by_its_content_too(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("\n".join(TABLES_BY_CONTENT[name]) + "\n")
    assert f"{name} looks like a table, but is learned from as plain text" in suited((str(tmp_path / name),), "lm")
    assert "for --task lm" not in CliRunner().invoke(app, ["data", "look", str(tmp_path / name)]).output


@pytest.mark.parametrize("name", NO_TABLES)
def test_a_text_is_no_table(name: str) -> None:
    assert not looks_like_table("\n".join(NO_TABLES[name]).encode() + b"\n")


def test_a_mistyped_file_is_looked_for_beside_it(tmp_path: Path) -> None:
    (tmp_path / "handbook.txt").write_text("x")
    for name, told in (("handbok.txt", "did you mean 'handbook.txt'?"), ("nothere.csv", "data sets: ")):
        with pytest.raises(DataError, match=re.escape(told)):
            located(str(tmp_path / name))
    with pytest.raises(DataError, match="did you mean 'shakespeare'"):
        located("shakespear")
