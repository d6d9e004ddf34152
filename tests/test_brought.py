"""What people bring: tables in the shape of public ones, pipes, full disks, scripts with marks in their words."""

import codecs
import functools
import itertools
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from brought import ROWS, TABLES, reviews
from conftest import Answer
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.cli import REPLACED, _replaced
from tuirnn.errors import DataError
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.settings.data import DataConfig
from tuirnn.survey import preview
from tuirnn.tables import table as tables
from tuirnn.tasks.look import look_at
from tuirnn.vocab import Vocabulary, word_ranges

TINY = ("--hidden", "8", "--steps", "5", "--batch-size", "4", "--eval-every", "5")
SMALL = (*TINY, "--seq-len", "8")

UNDERSTOOD: dict[str, tuple[str, list[str]]] = {
    "spam.tsv": ("classify", ["quotes are text, no header", "text: column 2", "label: column 1", "2 classes"]),
    "reviews.csv": ("classify", ["60 rows, 2 columns", "text: column 'review'", "label: column 'sentiment'"]),
    "air.csv": ("forecast", ["decimal ','", "column 'Date Time'", "step 11 hours", "4 empty rows", "--missing=-200"]),
    "power.csv": ("forecast", ["'Date Time'", "step 7 hours", "10 missing values", "Global_reactive_power, Voltage"]),
    "stocks.csv": (
        "forecast",
        ["newest row first: order reversed", "1 working day", "to learn: Close/Last, Volume, Open"],
    ),
    "weather.csv": ("forecast", ["step 1 day", "1 missing values", "--missing=-9999", "to learn: tmax, tmin"]),
    "umsatz.csv": ("forecast", ["cp1252", "decimal ','", "'.' between thousands", "to learn: Erlös in €, Stück"]),
    "ventes.csv": ("forecast", ["byte order mark", "decimal ','", "to learn: Chiffre d'affaires"]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (make, encoding) in TABLES.items():
        (tmp_path / name).write_bytes(make().encode(encoding))
    return tmp_path


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_public_table_is_understood(name: str, folder: Path) -> None:
    task, said = UNDERSTOOD[name]
    seen = look_at(str(folder / name), {})
    assert seen.task == task
    for part in said:
        assert part in "\n".join(seen.notes), part
    if task == "classify":
        assert len(seen.read["examples"]) == 3


@pytest.mark.parametrize("name", ["reviews.csv", "umsatz.csv"])
def test_it_is_trained_on_kept_and_used_again(name: str, folder: Path, answer: Callable[..., Answer]) -> None:
    task, said = UNDERSTOOD[name]
    plain = answer("train", name, *SMALL, "--name", "text")
    assert plain.code == 0
    assert f"{name} is a table, but is learned from as plain text" in plain.err
    assert f"--task {task}" in plain.err
    done = answer("train", name, "--task", task, *(SMALL if task == "forecast" else TINY), "--name", "a")
    assert done.code == 0, done.err
    assert all(part in done.out for part in said[:-1])
    kept = read_record(RunPaths(folder / "checkpoints" / "a")).data["read"]
    assert kept["dialect"]["delimiter"] == (";" if name == "umsatz.csv" else ",")
    assert answer("eval", "a").code == 0


def test_series_under_one_another_are_not_one(folder: Path) -> None:
    with pytest.raises(DataError, match="3 rows for each time in 'date', one for each 'store'"):
        look_at(str(folder / "sales.csv"), {"task": "forecast"})


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (reviews(), ROWS),
        (reviews().replace(",", ";").replace('";', '";'), ROWS),
        (reviews().replace("\nthe end", "\n\nthe, end"), ROWS),
        ("a\tb\n" + '"one\nmore"\tx\n"two\nmore"\ty\n' * 20, 40),
        ("a,b\n" + '"one, a\nmore, b",x\n' * 30 + "plain,y\n" * 30, 60),
    ],
)
def test_quoted_fields_over_several_lines_are_fields(text: str, rows: int) -> None:
    table = tables.read(text.encode(), "t.csv")
    assert len(table) == rows
    assert table.dialect.quote == '"'
    assert len(table.names) == 2


@pytest.mark.parametrize("at", [(3, 9), (5, 6), (2, 30)])
def test_stray_quotes_still_swallow_no_rows(at: tuple[int, int]) -> None:
    rows = [f"spam\tword {number} here" for number in range(40)]
    for number in at:
        rows[number] = f'ham\t"odd {number} here'
    assert len(tables.read(("label\ttext\n" + "\n".join(rows) + "\n").encode(), "t.tsv")) == 40


# ── what a run keeps, and the form's preview ──────────────────────────────────


def test_tagged_tables_are_told_and_kept(tmp_path: Path, answer: Callable[..., Answer]) -> None:
    rows = "".join(f"{n},Anna {n} went home,PER O O O\n" for n in range(40))
    (tmp_path / "t.csv").write_text("id,sentence,tags\n" + rows)
    words = ("--task", "tag", "--text-column", "sentence", *TINY, "--name", "a")
    done = answer("train", "t.csv", *words)
    assert done.code == 0, done.err
    assert "text: column 'sentence'; tags: column 'tags', one for each word" in done.out
    assert "Anna/PER 0/O went/O home/O" in done.out
    kept = read_record(RunPaths(tmp_path / "checkpoints" / "a")).data["read"]
    assert (kept["form"], kept["text_column"], kept["label_column"]) == ("a table", "sentence", "tags")
    assert kept["files"] == [{"name": "t.csv", "encoding": "utf-8"}]
    (tmp_path / "other.csv").write_text("id,note,sentence,tags\n1,x,Anna 3 went home,PER O O O\n")
    evaluated = answer("eval", "a", "--text", "other.csv")
    assert evaluated.code == 0, evaluated.err
    assert "1 sequences" in evaluated.out
    assert "column 'sentence'" in evaluated.err


def test_the_forms_preview_says_what_look_says(folder: Path) -> None:
    path = str(folder / "umsatz.csv")
    told = preview(DataConfig(task="forecast", sources=(path,)))
    seen = look_at(path, {"task": "forecast"})
    assert told == (seen.head, *seen.notes)
    assert preview(DataConfig()) == preview(DataConfig(sources=("shakespeare", "-"))) == ()


# ── pipes, full disks, terminals ──────────────────────────────────────────────


def _run(folder: Path, environment: dict[str, str], script: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    tuirnn = f"{sys.executable} -m tuirnn"
    return subprocess.run(
        ["bash", "-c", script.replace("TUIRNN", tuirnn)], cwd=folder, env=environment, capture_output=True, text=True,
        check=False, **more,
    )  # fmt: skip


def test_a_pipe_is_read_once_and_its_copy_resumed(
    tmp_path: Path, environment: dict[str, str], small_text: Path
) -> None:
    small = " ".join(SMALL)
    done = _run(tmp_path, environment, f"TUIRNN train <(cat {small_text}) {small} --name a")
    assert done.returncode == 0, done.stderr
    paths = RunPaths(tmp_path / "checkpoints" / "a")
    assert paths.stdin.read_bytes() == small_text.read_bytes()
    done = _run(tmp_path, environment, f"TUIRNN train --resume a --steps 8 && TUIRNN eval a --text <(cat {small_text})")
    assert done.returncode == 0, done.stderr
    assert read_status(paths).step == 8
    two = _run(tmp_path, environment, f"TUIRNN train <(cat {small_text}) <(cat {small_text}) {small}")
    assert two.returncode == 2
    assert "only one pipe" in two.stderr


def test_a_full_disk_behind_the_output_does_not_end_a_training(
    tmp_path: Path, environment: dict[str, str], small_text: Path
) -> None:
    for json_ in ("", "--json"):
        name = f"a{json_[2:]}"
        script = f"TUIRNN train {small_text} {' '.join(SMALL)} --name {name} {json_} > /dev/full"
        done = _run(tmp_path, environment, script)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("cannot write the output: No space left on device; the training goes on") == 1
        assert read_status(RunPaths(tmp_path / "checkpoints" / name)).state == "done"


def test_a_log_that_cannot_grow_does_not_end_a_training(
    tmp_path: Path, environment: dict[str, str], small_text: Path
) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    words = "--hidden 4 --embed 2 --steps 400 --batch-size 2 --seq-len 4 --eval-every 200 --sample-length 5"
    done = _run(tmp_path, environment, f"TUIRNN train {small_text} {words} --name a", preexec_fn=limited)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot write metrics of run 'a'") == 1
    paths = RunPaths(tmp_path / "checkpoints" / "a")
    status = read_status(paths)
    assert (status.state, status.step) == ("done", 400)
    assert "records lost: cannot write metrics" in status.message
    log = LogTail(paths.metrics)
    steps = [record["step"] for record in log.read() if record["split"] == "train"]
    assert steps == list(range(1, len(steps) + 1))  # whole lines, none torn
    assert not log.damaged
    assert len(steps) < 400


def test_a_terminal_that_lacks_characters_is_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    codecs.register_error(REPLACED, _replaced)
    assert "für日".encode("latin-1", REPLACED) == b"f\xfcr?"
    assert "日日".encode("latin-1", REPLACED) == b"??"
    said = capsys.readouterr().err
    assert said.count("the output is latin-1") == 1
    assert "PYTHONUTF8=1" in said
    assert "\ud800".encode("utf-8", REPLACED) == b"?"
    assert capsys.readouterr().err == ""


def test_no_impossible_learning_rate_is_advised(
    tmp_path: Path, answer: Callable[..., Answer], small_text: Path
) -> None:
    done = answer("train", str(small_text), *SMALL, "--steps", "60", "--lr", "1e6", "--optimizer", "sgd", "--clip", "0")
    assert done.code == 2
    rate = re.search(r"try --lr (\S+)", done.err)
    assert rate is not None, done.err
    assert float(rate[1]) <= 0.01


# ── marks in words ────────────────────────────────────────────────────────────

MARKED = {
    "Hindi": "हिन्दी में लिखा हुआ पाठ।",
    "Tamil": "தமிழ் மொழி, பேசு",
    "Thai": "ที่นี่ ดี",
    "Arabic with vowels": "كِتَابٌ جَدِيدٌ",
    "decomposed Latin": "cafe\u0301 nai\u0308ve",
    "Persian with joiners": "می\u200cخواهم کتاب",
}


@pytest.mark.parametrize("script", MARKED)
def test_words_keep_their_marks(script: str) -> None:
    text = MARKED[script]
    vocab = Vocabulary.build(text, "word")
    assert vocab.marked
    words = re.findall(r"[^\s,।]+", text)
    assert [piece for piece in vocab.words(text) if piece not in " ,।"] == words
    assert vocab.decode(vocab.encode(text)) == text
    assert Vocabulary.from_json(json.loads(json.dumps(vocab.to_json()))).words(text) == vocab.words(text)


def test_vocabularies_of_earlier_versions_split_as_they_did() -> None:
    """They know marks as symbols of their own."""
    text = MARKED["Hindi"]
    former = Vocabulary("word", tuple(sorted(set(re.findall(r"\w+|\s|[^\w\s]", text)))))
    assert former.words(text) == re.findall(r"\w+|\s|[^\w\s]", text)
    assert len(word_ranges(former.marked)) == len(word_ranges())


@functools.cache
def within_words(marked: bool) -> frozenset[str]:
    """The characters that run together."""
    return frozenset(chr(point) for first, last in word_ranges(marked) for point in range(first, last + 1))


@given(
    st.text(st.sampled_from("ab_ \n.हिन्दी\u0301\u200d👍🏽\ufe0f")), st.sampled_from([*MARKED.values(), "plain text"])
)
def test_pieces_are_the_text_and_ranges_say_which_run_together(text: str, learned: str) -> None:
    vocab = Vocabulary.build(learned, "word")
    pieces = vocab.words(text)
    assert "".join(pieces) == text
    assert vocab.starts(text).tolist() == [sum(map(len, pieces[:at])) for at in range(len(pieces))]
    inside = within_words(vocab.marked)
    for piece in pieces:
        assert len(piece) == 1 or set(piece) <= inside
    for before, after in itertools.pairwise(pieces):
        assert not (before[-1] in inside and after[0] in inside)


# ── clocks ────────────────────────────────────────────────────────────────────


def clocked(path: Path, times: list[str]) -> list[str]:
    """What is told of a series with these times."""
    path.write_text("time,x\n" + "".join(f"{time},{(at * 7) % 13}.5\n" for at, time in enumerate(times)))
    return list(look_at(str(path), {"task": "forecast"}).notes)


@pytest.mark.parametrize("minutes", [15, 20, 30])
def test_an_hour_that_stands_twice_stays_in_order(tmp_path: Path, minutes: int) -> None:
    """Berlin, 31 October 2021: 02:00 to 02:59 twice."""
    zone, first = ZoneInfo("Europe/Berlin"), datetime(2021, 10, 30, 20, tzinfo=UTC)
    moments = [first + at * timedelta(minutes=minutes) for at in range(100)]
    said = clocked(tmp_path / "t.csv", [f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" for moment in moments])
    assert "an hour occurs twice, 1 times, as when summer time ends: the order of rows is kept" in said
    shuffled = [f"{moment:%Y-%m-%d %H:%M}" for moment in (*moments[:40], *moments[60:], *moments[40:60])]
    assert any("came before older ones: sorted" in note for note in clocked(tmp_path / "s.csv", shuffled))


def test_zones_are_read_and_not_mixed_with_none(tmp_path: Path) -> None:
    zone, first = ZoneInfo("Europe/Berlin"), datetime(2021, 10, 29, tzinfo=UTC)
    moments = [first + timedelta(hours=at) for at in range(100)]
    local = [moment.astimezone(zone).isoformat() for moment in moments]
    assert "time: column 'time', 2021-10-29 to 2021-11-02 03:00:00, step 1 hour" in clocked(tmp_path / "t.csv", local)
    mixed = [f"{moment:%Y-%m-%dT%H:%M:%S}" if at % 2 else local[at] for at, moment in enumerate(moments)]
    with pytest.raises(DataError, match=r"50 times have a zone such as \+01:00 and 50 have none"):
        clocked(tmp_path / "m.csv", mixed)
