"""Settings: checked at construction, the same through JSON, TOML and the command line."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.config import FIELDS, SECTIONS, RunConfig, load_recipe, recipe_names
from tuirnn.errors import ConfigError
from tuirnn.runs.detached import arguments


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
    assert RunConfig().replace(**got) == config


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
        ({"task": "forecast", "split": "within"}, ["--split", "forecast"]),
        ({"val_fraction": 0.6, "test_fraction": 0.6}, ["--val-fraction"]),
        ({"sources": "shakespeare"}, ["SOURCE", "list"]),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        RunConfig().replace(**changes)
    assert all(word in str(error.value) for word in words)


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
