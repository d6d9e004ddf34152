"""Labelled texts as people bring them: columns, folders, encodings, and everything that is left out is told."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import train_small
from typer.testing import CliRunner

from tuirnn.cli import app
from tuirnn.errors import DataError
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_record
from tuirnn.runtime.data import run_data
from tuirnn.settings.data import DataConfig
from tuirnn.tables.given import Given
from tuirnn.tasks import texts
from tuirnn.tasks.classify import data as classify
from tuirnn.tasks.classify.data import LabelledData

GOOD, BAD = ("nice", "sunny", "warm"), ("grim", "cold", "rain")
ROWS = 40


def says(i: int) -> tuple[str, str]:
    """A text and its label."""
    draw = random.Random(i)
    words, label = (GOOD, "pos") if i % 2 == 0 else (BAD, "neg")
    return " ".join(draw.choice(words) for _ in range(5)) + f" {i}", label


def written(header: str, row: str, rows: int = ROWS) -> str:
    """A table of texts and labels; `row` is a format of i, text, label, and of a key and a date."""
    lines = [header] if header else []
    for i in range(rows):
        text, label = says(i)
        key, date = f"{random.Random(i).getrandbits(48):012x}", f"2020-01-{1 + i % 2:02}"
        lines.append(row.format(i=i, text=text, label=label, key=key, date=date, flag=i % 2, other=i // 2 % 2))
    return "\n".join(lines) + "\n"


def load(source: Path, **changes: Any) -> LabelledData:
    return classify.load(DataConfig(task="classify", sources=(str(source),), **changes))


def sequences(data: LabelledData) -> set[str]:
    return {data.vocab.decode(ids) for split in (data.train, data.val, data.test) for ids in split.ids}


# ── columns ──────────────────────────────────────────────────────────────────────

CHOSEN: dict[str, tuple[str, str, str]] = {
    # table, text column, label column
    "an index": (written(",text,label", "{i},{text},{label}"), "text", "label"),
    "keys": (written("id,comment,target", "{key},{text},{label}"), "comment", "target"),
    "a date last": (written("text,sentiment,date", "{text},{label},{date}"), "text", "sentiment"),
    "no header": (written("", "{label}\t{text}"), "2", "1"),
    "no header, the text first": (written("", "{text},{label}"), "1", "2"),
    "no header, a key": (written("", "{key},{label},{text}"), "3", "2"),
    "usual names": (written("review_id,stars,review body", "R{i},{flag},{text}"), "review body", "stars"),
    "v1 and v2": (written("v1,v2", "{label},{text}"), "v2", "v1"),
    "a title beside the text": (written("title,text,category", "no {i},{text},{label}"), "text", "category"),
    "label wins over kind": (written("text,kind,label", "{text},{flag},{label}"), "text", "label"),
    "numbers as labels": (written("text,polarity", "{text},{flag}"), "text", "polarity"),
    "one column of few values": (written("remark,quality", "{text},{label}"), "remark", "quality"),
    "texts of digits by name": (written("text,label", "{i},{label}"), "text", "label"),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_columns_are_chosen_and_told(name: str, tmp_path: Path) -> None:
    text, at, of = CHOSEN[name]
    (tmp_path / "t.csv").write_text(text)
    data = load(tmp_path / "t.csv")
    assert (data.read["text_column"], data.read["label_column"]) == (at, of)
    assert len(sequences(data)) == ROWS
    assert any("text: column" in note and "label: column" in note for note in data.notes)
    assert len(data.read["examples"]) == 3
    assert set(data.read["examples"]) <= set(data.notes)
    assert data.summary()["read"] == json.loads(json.dumps(data.read))


ASKED: dict[str, tuple[str, str]] = {
    "two texts": (written("id,title,headline,label", "{key},{text} a,{text} b,{label}"), "--text-column"),
    "two labels": (written("text,category,topic", "{text},{label},{flag}"), "--label-column"),
    "two columns of few values": (written("text,place,who", "{text},p{other},w{flag}"), "--label-column"),
    "keys alone": (written("id,label", "{key},{label}"), "--text-column"),
    "an index alone": (written(",label", "{i},{label}"), "--text-column"),
    "dates alone": (written("when,label", "2020-01-{i},{label}", 28), "--text-column"),
    "no labels": (written("text,id", "{text},{key}"), "--label-column"),
    "a column each": (written("text,toxic,insult", "{text},{flag},{other}"), "--label-column 'toxic'"),
    "several in a cell": (
        written("text,genre", "{text},comedy|drama|x{flag}"), "several labels"
    ),
    "several in a cell, as a list": (
        written("text;tags;n", "{text};['a', 'b{flag}'];{i}").replace("tags", "label"), "several labels in a cell"
    ),
    "one column": (written("text", "{text}"), "1 column"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_is_not_plain_is_asked(name: str, tmp_path: Path) -> None:
    text, said = ASKED[name]
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path / "t.csv")
    assert str(caught.value).isprintable()


def test_the_user_decides(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(ASKED["two texts"][0])
    assert load(tmp_path / "t.csv", text_column="headline").read["text_column"] == "headline"
    (tmp_path / "t.csv").write_text(ASKED["a column each"][0])
    assert load(tmp_path / "t.csv", label_column="insult").classes == ("0", "1")
    (tmp_path / "t.csv").write_text(ASKED["keys alone"][0])
    assert len(sequences(load(tmp_path / "t.csv", text_column="id"))) == ROWS
    (tmp_path / "t.csv").write_text(CHOSEN["no header"][0])
    assert (
        len(sequences(load(tmp_path / "t.csv", header="yes", text_column=says(0)[0], label_column="pos"))) == ROWS - 1
    )


def test_classes_with_commas_are_quoted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(written("text,label", '{text},"{label}, so"') + written("", "x{text},odd"))
    assert load(tmp_path / "t.csv", classes='"pos, so", "neg, so"').classes == ("neg, so", "pos, so")


# ── rows ─────────────────────────────────────────────────────────────────────────


def test_rows_that_are_left_out_are_counted(tmp_path: Path) -> None:
    text = written("text,label", "{text},{label}").splitlines()
    text[1], text[6], text[9] = ",pos", ",neg", text[7]
    text[20] += ",odd"
    text[30] = text[30].rsplit(",", 1)[0] + ","
    (tmp_path / "t.csv").write_text("\n".join(text))
    data = load(tmp_path / "t.csv")
    said = " ".join(data.notes)
    for note in ("2 sequences without text", "1 duplicates", "1 row left out that do not have 2 fields: line 21"):
        assert note in said
    assert "1 rows without a label left out" in said
    assert len(sequences(data)) == ROWS - 5
    assert "2 classes: neg" in said


STRAY = {
    "tabs": written("text\tlabel", "{text}\t{label}").replace("pos\n", '"pos"\n', 0),
    "commas": written("text,label", "{text},{label}"),
    "at the beginning and the end": written("text|label", "{text}|{label}"),
}


@pytest.mark.parametrize("name", STRAY)
def test_stray_quotes_lose_nothing(name: str, tmp_path: Path) -> None:
    lines = STRAY[name].splitlines()
    lines[12] = '"' + lines[12]
    lines[33] = lines[33].replace(" 32", ' 32"')
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert len(sequences(load(tmp_path / "t.csv"))) == ROWS


def test_newlines_in_quotes_are_part_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(written("text,label", '"so:\n{text}",{label}'))
    data = load(tmp_path / "t.csv")
    assert f"so:\n{says(3)[0]}" in sequences(data)
    assert "\n" in data.vocab.symbols


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "utf-16-le"])
def test_tables_in_other_encodings(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(written("text,label", "{text} café “x”,{label}").encode(encoding))
    data = load(tmp_path / "t.csv")
    assert f"{says(0)[0]} café “x”" in sequences(data)
    assert any(encoding.replace("_", "-")[:5] in note for note in data.notes)
    assert len(data.vocab.symbols) < 40


# ── folders ──────────────────────────────────────────────────────────────────────


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def lines_of(label: str, first: int, count: int = 8) -> str:
    return "\n".join(f"{label} line {i}" for i in range(first, first + count)) + "\n"


FOLDERS: dict[str, tuple[dict[str, str], dict[str, int], str]] = {
    # files, sequences of each class, what is told
    "few files of lines in folders": (
        {f"{c}/part{p}.txt": lines_of(c, 10 * p) for c in ("neg", "pos") for p in (1, 2)},
        {"neg": 16, "pos": 16}, "one class per folder, one sequence per line",
    ),
    "a document a file": (
        {f"{c}/{i}_7.txt": f"{c} {i}\nand more" for c in ("neg", "pos") for i in range(12)},
        {"neg": 12, "pos": 12}, "one sequence per file",
    ),
    "train and test with the same classes": (
        {f"{s}/{c}/{i}.txt": f"{s} {c} {i}" for s in ("train", "test") for c in ("a", "b") for i in range(6)},
        {"a": 12, "b": 12}, "test/a, train/a are one class, 'a'",
    ),
    "names that differ by their endings": (
        {"neg.md": lines_of("neg", 0), "pos.TXT": lines_of("pos", 0), "pos.txt": lines_of("pos", 20)},
        {"neg": 8, "pos": 16}, "pos.TXT, pos.txt are one class, 'pos'",
    ),
    "files about the others": (
        {"a.txt": lines_of("a", 0), "b.txt": lines_of("b", 0), "README.md": "read me", "LICENSE": "free", "x.png": "x"},
        {"a": 8, "b": 8}, "LICENSE, README.md, x.png left out",
    ),
    "files beside folders": (
        {"a/1.txt": lines_of("a", 0), "b/1.txt": lines_of("b", 0), "urls.txt": "http"},
        {"a": 8, "b": 8}, "urls.txt left out: not in the folder",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(name: str, tmp_path: Path) -> None:
    files, expected, told = FOLDERS[name]
    data = load(fill(tmp_path, files))
    counts = dict.fromkeys(data.classes, 0)
    for split in (data.train, data.val, data.test):
        for label in split.labels:
            counts[data.classes[label]] += 1
    assert counts == expected
    assert told in " ".join(data.notes)


def test_folders_that_hold_no_classes_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "tables", {"train.csv": "text,label\na,b\n", "test.csv": "text,label\na,b\n"})
    with pytest.raises(DataError, match=r"folder of 2 tables; name one of them, such as test\.csv"):
        load(tmp_path / "tables")
    fill(tmp_path / "one", {"a/1.txt": "x\ny\nz", "a/2.txt": "v\nw"})
    with pytest.raises(DataError, match="has one class, 'a'"):
        load(tmp_path / "one")


def test_an_example_is_what_the_user_says(tmp_path: Path) -> None:
    fill(tmp_path, {f"{c}/part{p}.txt": lines_of(c, 10 * p) for c in ("neg", "pos") for p in (1, 2, 3)})
    assert len(sequences(load(tmp_path, example="file"))) == 6
    assert len(sequences(load(tmp_path, example="line"))) == 48


def test_empty_files_and_encodings_are_told(tmp_path: Path) -> None:
    fill(tmp_path, {f"{c}/{i}.txt": f"{c} {i}" for c in ("neg", "pos") for i in range(11)})
    (tmp_path / "neg" / "0.txt").write_text("  \n")
    (tmp_path / "pos" / "0.txt").write_bytes("für Gäste".encode("cp1252"))
    data = load(tmp_path)
    assert "1 sequences without text left out" in data.notes
    assert any("pos/0.txt: cp1252" in note for note in data.notes)
    assert "für Gäste" in sequences(data)


# ── a run, and the texts that it answers ─────────────────────────────────────────


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A classifier of a table with an index, names in capital letters and a decoy."""
    folder = tmp_path_factory.mktemp("weather")
    (folder / "w.csv").write_text(written(",Remark,Quality,When", "{i},{text},{label},{date}", 80))
    return train_small(folder / "runs", "weather", folder / "w.csv", task="classify", hidden=8, steps=60, lr=0.05)


def test_a_run_keeps_how_its_table_was_read(weather: RunPaths) -> None:
    read = read_record(weather).data["read"]
    assert (read["text_column"], read["label_column"], read["rows"]) == ("Remark", "Quality", 80)
    assert read["dialect"]["delimiter"] == ","
    again = run_data(weather)
    assert isinstance(again, LabelledData)
    assert again.read == read


def asked(weather: RunPaths, *words: str) -> tuple[list[str], str]:
    done = CliRunner().invoke(app, ["predict", "weather", *words, "--runs", str(weather.root.parent)])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines(), done.stderr


ANSWERED = {
    "plain.txt": b"nice warm nice\ngrim rain grim\n",
    "bom.txt": "\ufeffnice warm nice\ngrim rain grim\n".encode(),
    "utf16.txt": "nice warm nice\ngrim rain grim\n".encode("utf-16"),
    "same.csv": b"Remark,Quality\nnice warm nice,pos\ngrim rain grim,neg\n",
    "more.csv": b"id;Remark;x\n7;nice warm nice;1\n8;grim rain grim;2\n",
    "other.tsv": b"label\ttext\npos\tnice warm nice\nneg\tgrim rain grim\n",
}


@pytest.mark.parametrize("name", ANSWERED)
def test_predict_reads_what_training_reads(name: str, weather: RunPaths, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(ANSWERED[name])
    lines, said = asked(weather, "--file", str(tmp_path / name))
    assert [line.split("\t")[0] for line in lines] == ["pos", "neg"]
    assert [line.split("\t")[2] for line in lines] == ["nice warm nice", "grim rain grim"]
    assert "unknown" not in said


def test_predict_tells_what_it_does_not_know(weather: RunPaths, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_bytes("müller\nbrückner\n".encode("cp1252"))
    lines, said = asked(weather, "--file", str(tmp_path / "m.txt"))
    assert [line.split("\t")[2] for line in lines] == ["müller", "brückner"]
    assert "m.txt: cp1252 (detected" in said
    assert "% of the 14 tokens are not in this network's vocabulary" in said
    (tmp_path / "t.csv").write_text(written("a,b", "{text},{text}", 4))
    lines, said = asked(weather, "--file", str(tmp_path / "t.csv"), "--text-column", "b")
    assert len(lines) == 4
    assert "answering column 'b'" in said


def test_texts_of_a_table_that_cannot_be_told_are_asked() -> None:
    with pytest.raises(DataError, match="--text-column"):
        texts.read(written("title,headline", "{text} a,{text} b").encode(), "t.csv", Given())
    found = texts.read(b"text\nnice\n\ngrim\n", "t.csv", Given())
    assert found.texts == ["nice", "grim"]
