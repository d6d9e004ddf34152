"""Data of runs that were made before it was kept how they are read: read as those runs read them."""

from pathlib import Path
from typing import Any

import pytest

from tuirnn import tasks
from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.tables.dialect import Dialect
from tuirnn.tasks.classify.data import LabelledData
from tuirnn.tasks.forecast.data import SeriesData
from tuirnn.tasks.lm.data import TextData
from tuirnn.vocab import Vocabulary


def former(config: DataConfig, **known: Any) -> Any:
    """The data as a run that lacks `read` has them."""
    new = tasks.load(config)
    return new, tasks.load(config, known={"sha256": new.sha256, **known})


def test_a_mark_inside_a_text_stays(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("\ufeff" + "one two three " * 50)
    config = DataConfig(sources=(str(tmp_path / "a.txt"), str(tmp_path / "b.txt")))
    new, old = former(config)
    assert isinstance(old, TextData)
    assert "\ufeff" not in new.vocab.symbols
    assert "\ufeff" in old.vocab.symbols
    again = tasks.load(config, vocab=Vocabulary("char", old.vocab.symbols), known={"sha256": old.sha256})
    assert isinstance(again, TextData)
    assert again.train.tolist() == old.train.tolist()


def test_classes_of_one_name_replaced_one_another(tmp_path: Path) -> None:
    for folder, words in (("x", "a b c d"), ("y", "e f g h")):
        (tmp_path / folder).mkdir()
        for label in ("one", "two"):
            (tmp_path / folder / f"{label}.txt").write_text("\n".join(label + word for word in words.split()))
    new, old = former(DataConfig(task="classify", sources=(str(tmp_path),)))
    assert isinstance(old, LabelledData)
    assert new.classes == ("x", "y")
    assert old.classes == ("one", "two")
    assert len(old.train) + len(old.val) == 8
    assert old.notes == ("2 classes: one 4, two 4",)


def test_the_last_column_held_the_labels(tmp_path: Path) -> None:
    rows = [f"w{i},{'pn'[i % 2]},{'ab'[i // 20]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["text,sentiment,extra", *rows]))
    new, old = former(DataConfig(task="classify", sources=(str(tmp_path / "t.csv"),)))
    assert (new.classes, old.classes) == (("n", "p"), ("a", "b"))


def test_rows_stayed_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [f"2021-01-{i:02},{i * i % 11}," for i in range(28, 0, -1)]
    (tmp_path / "t.csv").write_text("\n".join(["date,x,y", *rows, ",,", ",,"]))
    scaling = {"columns": ["x"], "mean": [5.0], "std": [3.0]}
    new, old = former(DataConfig(task="forecast", sources=(str(tmp_path / "t.csv"),)), **scaling)
    assert isinstance(old, SeriesData)
    assert new.values[:, 0].tolist() == [float(i * i % 11) for i in range(1, 29)]
    assert old.values[:, 0].tolist() == [float(i * i % 11) for i in range(28, 0, -1)] + [1.0, 1.0]
    assert old.real is None
    again = tasks.load(
        DataConfig(task="forecast", sources=(str(tmp_path / "t.csv"),)), known={**new.summary(), "sha256": new.sha256}
    )
    assert isinstance(again, SeriesData)
    assert again.values.tolist() == new.values.tolist()


DAMAGE: list[dict[str, Any]] = [
    {"delimiter": ",,"}, {"delimiter": 3}, {"quote": "x"}, {"names": [1]}, {"names": "a"}, {"skip": -1}, {"skip": "1"},
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_records_are_refused(damage: dict[str, Any]) -> None:
    good = {"delimiter": ",", "quote": '"', "decimal": ".", "thousands": "", "header": True, "skip": 1, "names": ["a"]}
    assert Dialect.from_json(good).to_json() == good
    with pytest.raises(DataError, match="damaged"):
        Dialect.from_json({**good, **damage})
