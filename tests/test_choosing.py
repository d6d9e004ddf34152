"""`--dtype auto`: what is chosen from which times, what is kept, and that a run stays with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import train_small
from hypothesis import given
from hypothesis import strategies as st

from tuirnn import drift, processor
from tuirnn.errors import RunError
from tuirnn.kernels import layer, native
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, RunRecord, present_record
from tuirnn.training import choosing, launch
from tuirnn.training.rounds import LoadMonitor

SECONDS = st.floats(1e-6, 1e3)


@given(st.fixed_dictionaries({"native float32": SECONDS, "portable float32": SECONDS}, optional={
    "native bfloat16": SECONDS, "portable bfloat16": SECONDS}))  # fmt: skip
def test_the_choice_is_bfloat16_where_it_is_worth_it(times: dict[str, float]) -> None:
    choice = choosing.choose(times)
    mine = times[f"{choice.kernels} {choice.dtype}"]
    floats = min(value for name, value in times.items() if name.endswith("float32"))
    assert mine <= choosing.PORTABLE_WORTH * min(v for n, v in times.items() if n.endswith(choice.dtype))
    pairs = min((value for name, value in times.items() if name.endswith("bfloat16")), default=None)
    if choice.dtype == "bfloat16":
        assert pairs is not None
        assert floats * choosing.PORTABLE_WORTH >= choosing.WORTH * mine
    elif pairs is not None:
        assert floats < choosing.WORTH * pairs * choosing.PORTABLE_WORTH
    assert choice.line.startswith(choice.dtype)


class Quiet(LoadMonitor):
    """A machine on which nothing else runs."""

    def __call__(self) -> float:
        return 1.0


class Busy(Quiet):
    """A machine that becomes slow after the first round."""

    def __call__(self) -> float:
        self.quickest, took = 1.0, self.quickest
        return 1.0 if took > 1.0 else 2.0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Iterator[Path]:
    """The file of times, in a cache folder of its own; nothing is compiled, and bfloat16 counts as supported."""
    monkeypatch.setattr(choosing.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache"))
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: True)
    monkeypatch.setenv("TUIRNN_KERNELS", "portable")
    native.forget()
    monkeypatch.setattr(choosing, "LoadMonitor", Quiet)
    yield tmp_path / "cache" / "kernel-times.json"
    native.forget()
    layer._preferred.clear()


def said(paths: RunPaths) -> list[str]:
    notes = [event["message"] for event in LogTail(paths.events).read() if event["event"] == "note"]
    return [note for note in notes if note.startswith("--dtype auto")]


def pretend(file: Path, **seconds: float) -> None:
    """Replace all kept times."""
    times = {name.replace("_", " "): value for name, value in seconds.items()}
    body = json.loads(file.read_text())
    file.write_text(json.dumps({key: dict.fromkeys(sizes, times) for key, sizes in body.items()}))


def test_times_are_measured_once_and_the_run_stays_with_the_choice(
    here: Path, small_text: Path, tmp_path: Path
) -> None:
    first = train_small(tmp_path, "first", small_text, dtype="auto", steps=2)
    (line,) = said(first)
    assert "portable float32" in line
    assert "portable bfloat16" in line
    assert "measured before" not in line
    pretend(here, portable_float32=2.0, portable_bfloat16=1.0)
    quick = train_small(tmp_path, "quick", small_text, dtype="auto", steps=2)
    assert "bfloat16 is 2.00× as fast" in said(quick)[0]
    assert "measured before" in said(quick)[0]
    pretend(here, portable_float32=1.0, portable_bfloat16=1.0)
    launch.resume(quick, {"steps": 4}, lambda event: None)
    assert len(said(quick)) == 1
    assert present_record(quick).computed.train.dtype == "bfloat16"
    assert present_record(quick).config.train.dtype == "auto"
    named = train_small(tmp_path, "named", small_text, dtype="bfloat16", steps=2)
    launch.resume(named, {"steps": 4}, lambda event: None)
    weights = [checkpoint.load(paths, "last").files[checkpoint.MODEL] for paths in (quick, named)]
    assert weights[0] == weights[1]


def test_times_of_a_busy_machine_are_not_kept(
    here: Path, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "LoadMonitor", Busy)
    paths = train_small(tmp_path, "one", small_text, dtype="auto", steps=2)
    assert "the machine was busy, so the next run measures again" in said(paths)[0]
    assert not here.exists()


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"a": {"b": {"native float32": -1}}}', '{"a": 3}'])
def test_a_damaged_file_of_times_is_measured_again(here: Path, damage: str) -> None:
    here.parent.mkdir()
    here.write_text(damage)
    assert choosing.kept() == {}
    choosing.keep("machine", "sizes", {"native float32": 1.0})
    assert choosing.kept() == {"machine": {"sizes": {"native float32": 1.0}}}


def test_a_run_by_auto_is_verified_like_any_other(here: Path, small_text: Path, tmp_path: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, dtype="auto", steps=2)
    assert drift.measure(paths, steps=20, greedy=5).greedy == 5


def test_a_processor_without_bfloat16_computes_in_float32(
    here: Path, small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: False)
    paths = train_small(tmp_path, "one", small_text, dtype="auto", steps=2)
    assert said(paths) == ["--dtype auto: float32, as this processor has no products of bfloat16"]


def test_a_record_without_the_choice_is_refused(here: Path, small_text: Path, tmp_path: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, dtype="auto", steps=2)
    record: RunRecord = present_record(paths)
    del record.environment["dtype"]
    with pytest.raises(RunError, match="does not say what --dtype auto has chosen"):
        _ = record.computed
