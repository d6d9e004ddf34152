"""Settings: checked at construction, the same through JSON, TOML and the command line."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuirnn import variants
from tuirnn.cells import CELLS, Cell, Gradients, Parts
from tuirnn.config import FIELDS, SECTIONS, RunConfig, load_recipe, recipe_names
from tuirnn.errors import ConfigError
from tuirnn.runs.detached import arguments
from tuirnn.settings.section import flag_of


def valid(name: str) -> st.SearchStrategy[Any]:
    """Values that the field `name` accepts."""
    spec = FIELDS[name][1]
    meta = spec.metadata
    if meta["choices"]:
        return st.sampled_from(meta["choices"])
    if spec.type is bool:
        return st.booleans()
    if spec.type is int:
        return st.integers(int(meta["low"]), min(int(meta["high"]), 10**6))
    if spec.type is float:
        return st.floats(meta["low"], meta["high"])
    if spec.type is str:
        return st.text()
    return st.lists(st.text(min_size=1), max_size=3).map(tuple)


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    """Any valid configuration."""
    bound = (
        "tied",
        "val_fraction",
        "test_fraction",
        "lines",
        "split",
    )  # not every value of theirs goes with every other
    values = {name: draw(valid(name)) for name in FIELDS if name not in bound}
    return RunConfig().replace(**values)


@given(configs())
def test_json_round_trip(config: RunConfig) -> None:
    assert RunConfig.from_json(config.to_json(), where="test") == config


@given(configs())
def test_command_line_round_trip(config: RunConfig) -> None:
    words = arguments(config)
    got: dict[str, Any] = {}
    while words:
        flag = words.pop(0)
        if flag == "--":
            got["sources"] = tuple(words)
            break
        switch = flag.removeprefix("--no-").removeprefix("--").replace("-", "_")
        if switch in FIELDS and FIELDS[switch][1].type is bool:
            got[switch] = not flag.startswith("--no-")
        else:
            name = flag[2:].replace("-", "_")
            kind: Any = FIELDS[name][1].type
            got[name] = kind(words.pop(0))
    again = RunConfig.of(got.get("task", config.task.name), got).replace(**got)
    unread = dict.fromkeys(config.unread)
    assert {**again.flat(), **unread} == {**config.flat(), **unread}
    again.check_given(got)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.sampled_from([*SECTIONS, *FIELDS, "x"]), inner)))  # fmt: skip
def test_anything_else_is_one_clear_error(value: Any) -> None:
    try:
        RunConfig.from_json(value, where="run.json")
    except ConfigError as error:
        assert "\n" not in str(error)
        assert str(error).startswith("run.json")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cell": "lsmt"}, ["--cell", "'lsmt'", "lstm"]),
        ({"hiden": 3}, ["hiden", "hidden"]),
        ({"hidden": 0}, ["--hidden", "at least 1"]),
        ({"hidden": 2.5}, ["--hidden", "whole number"]),
        ({"hidden": True}, ["--hidden"]),
        ({"lr": math.nan}, ["--lr", "finite"]),
        ({"lr": -1.0}, ["--lr", "at least"]),
        ({"lr": 10**400}, ["--lr", "fewer digits"]),
        ({"dropout": 1.5}, ["--dropout", "at most"]),
        ({"tied": True, "embed": 3}, ["--tied", "--embed"]),
        ({"val_fraction": 0.6, "test_fraction": 0.6}, ["--val-fraction"]),
        ({"sources": "shakespeare"}, ["SOURCE", "list"]),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        RunConfig().replace(**changes)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("cell", CELLS.values(), ids=lambda cell: cell.name)
def test_every_cell_is_chosen_by_its_name_and_by_its_family_and_option(cell: Cell) -> None:
    by_name = RunConfig().replace(cell=cell.name)
    assert by_name == RunConfig().replace(**cell.settings)
    assert by_name.model.recurrent is cell
    by_name.model.check_given({"cell": cell.name})
    assert RunConfig.from_json(by_name.to_json(), where="run.json") == by_name
    if cell.option:
        name, value = cell.option
        by_name.model.check_given({name: value})
        for other in set(variants.choices(name)) - {value}:
            with pytest.raises(ConfigError, match=f"--cell {cell.name} and --{name} {other} contradict"):
                RunConfig().replace(cell=cell.name, **{name: value}).model.check_given({name: other})


def test_settings_that_a_cell_does_not_read_are_refused_with_the_cells_that_do() -> None:
    unread = 0
    for cell in CELLS.values():
        model = RunConfig().replace(cell=cell.name).model
        for name in model.unread:
            unread += 1
            with pytest.raises(ConfigError) as error:
                model.check_given({name: getattr(model, name)})
            readers = variants.readers(name)
            assert readers
            assert cell.name not in readers
            assert all(word in str(error.value) for word in (f"--cell {cell.name}", flag_of(name), *readers))
    assert unread
    assert RunConfig().replace(cell="lstm", reset="before").model.unread == {"reset", "nonlinearity"}
    assert "weight_dropout" not in RunConfig().replace(cell="lstm").model.unread


def test_a_cell_without_recurrent_product_does_not_read_weight_dropout() -> None:
    class Elementwise(Cell):
        """h' = x + h / 2."""

        name = family = "elementwise"
        year, paper = 2026, "none"
        gates, words = ("h",), {"h": "state"}

        @staticmethod
        def step(x: Any, s: Any, W: Any, p: Any) -> Any:
            return Parts(h=x.h + 0.5 * s.h), Parts()

        @staticmethod
        def step_backward(d: Any, k: Any, s: Any, after: Any, Wt: Any, p: Any) -> Any:
            return Gradients(Parts(h=0.5 * d.h), Parts(h=d.h))

    assert not variants.reads(Elementwise(), "weight_dropout")
    assert variants.reads(Elementwise(), "hidden")


def test_every_field_says_what_it_is() -> None:
    for name, (_, spec) in FIELDS.items():
        assert spec.metadata["help"].endswith("."), name


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_load(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.about


def test_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('about = "mine"\n[model]\ncell = "gru"\n[train]\nlr = 0.001\n')
    assert load_recipe(str(path)).config == RunConfig().replace(cell="gru", lr=0.001)


@pytest.mark.parametrize(
    "text", ["[model]\ncel = 'gru'", "[mode]\ncell = 'gru'", "cell =", "[model]\ncell = 3", "about = 3", "[" * 5000]
)
def test_bad_recipes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.toml") as error:
        load_recipe(str(path))
    assert "\n" not in str(error.value)


def test_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match="demo"):
        load_recipe("dmeo")


def test_a_cell_file_names_its_cell() -> None:
    for cell in CELLS.values():
        option = cell.option[1] if cell.option else ""
        assert variants.cell_of(cell.family, option) is cell
