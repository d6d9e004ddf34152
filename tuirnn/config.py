"""Every setting of a run, and recipes: named configurations.

The fields of the sections are the single source for the command line's options, the dashboard's form, the recipes and
`run.json`; each carries its own one-line description and bounds. Field names are unique across the sections, so a flat
`{"hidden": 256, "lr": 0.004}` names a configuration.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from tuirnn import tasks
from tuirnn.errors import ConfigError, nearest, one_line
from tuirnn.files import read_bounded
from tuirnn.settings.data import DataConfig
from tuirnn.settings.display import DisplayConfig
from tuirnn.settings.model import ModelConfig
from tuirnn.settings.section import Section, checked_value, described
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.task import Task

MAX_RECIPE_BYTES = 100_000

SECTIONS: dict[str, type[Section]] = {
    "model": ModelConfig, "data": DataConfig, "train": TrainConfig, "display": DisplayConfig
}  # fmt: skip

FIELDS: dict[str, tuple[str, "dataclasses.Field[Any]"]] = {
    spec.name: (section, spec) for section, kind in SECTIONS.items() for spec in fields(cast(Any, kind))
}
"""Field name -> (section, dataclass field), over all sections."""

FIELDS["task"] = ("data", described(
    FIELDS["task"][1],
    help="What is learned: " + "; ".join(f"{task.name}, {task.learns}" for task in tasks.TASKS.values()) + ".",
    choices=tuple(tasks.TASKS),
))  # fmt: skip

FORMER_SECTIONS = dict.fromkeys(("sample_length", "sample_prime", "sample_temperature"), "train")
"""Where files of older versions have a setting."""


def checked(name: str, value: Any) -> Any:
    """`value` as the field `name` holds it; raises ConfigError for an unknown name or one that it refuses."""
    if name not in FIELDS:
        raise ConfigError(f"unknown setting '{one_line(name, 60)}'; {nearest(name, FIELDS)}")
    return checked_value(FIELDS[name][1], value)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: model, data and training."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    display: DisplayConfig = DisplayConfig()

    def __post_init__(self) -> None:
        """The points of a series go straight into the first layer: there is no embedding to learn or to share."""
        if (name := checked("task", self.data.task)) != self.data.task:
            object.__setattr__(self, "data", dataclasses.replace(self.data, task=name))
        if self.task.points:
            if self.model.tied:
                raise ConfigError("--tied shares an embedding, and the points of a series have none; leave it out")
            object.__setattr__(self, "model", dataclasses.replace(self.model, embed=0))
        if self.model.pools and not tasks.reads(self.task, "pooling"):  # of a file, which may hold what is not read
            object.__setattr__(self, "model", dataclasses.replace(self.model, pooling="last"))

    @classmethod
    def of(cls, task: str, given: Mapping[str, Any] | None = None) -> "RunConfig":
        """The settings that a new run of a task begins with.

        Args:
            task: its name.
            given: settings that are to replace some of them; what suits these is chosen.
        Raises:
            ConfigError: an unknown task.
        """
        found = tasks.find_task(task)
        return cls().replace(task=found.name, **found.defaults_beside(given or {}))

    @property
    def task(self) -> Task:
        """What is learned."""
        return tasks.TASKS[self.data.task]

    @property
    def unread(self) -> frozenset[str]:
        """The settings that this cell or this task does not read; files may hold any value of them."""
        return self.model.unread | {name for name in FIELDS if not tasks.reads(self.task, name)}

    @property
    def changed(self) -> frozenset[str]:
        """The settings that differ from those that a new run of the task begins with; but for unread ones."""
        begun, unread = RunConfig.of(self.task.name, self.flat()).flat(), self.unread
        return frozenset(name for name, value in self.flat().items() if value != begun[name] and name not in unread)

    def check_given(self, given: Mapping[str, Any]) -> None:
        """Refuse settings that were given on purpose and have no effect.

        Args:
            given: settings by name.
        Raises:
            ConfigError: the cell or the task does not read one of them.
        """
        self.model.check_given(given)
        tasks.check_given(self.task, given)

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with the flat field names in `changes` set.

        Raises:
            ConfigError: an unknown name or a value that the field refuses.
        """
        sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for name, value in changes.items():
            if name not in FIELDS:
                raise ConfigError(f"unknown setting '{one_line(name, 60)}'; {nearest(name, FIELDS)}")
            sections[FIELDS[name][0]][name] = value
        return RunConfig(
            model=_changed(self.model, sections["model"]),
            data=_changed(self.data, sections["data"]),
            train=_changed(self.train, sections["train"]),
            display=_changed(self.display, sections["display"]),
        )

    def flat(self) -> dict[str, Any]:
        """Every setting by its field name."""
        return {name: getattr(getattr(self, section), name) for name, (section, _) in FIELDS.items()}

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Nested plain values, as `run.json` holds them."""
        return {section: dataclasses.asdict(getattr(self, section)) for section in SECTIONS}

    @classmethod
    def from_json(cls, value: object, *, where: str) -> "RunConfig":
        """Read what `to_json` wrote; absent fields take their defaults.

        Args:
            value: parsed JSON or TOML, sections of plain values.
            where: the file's name, for the error.
        Raises:
            ConfigError: anything unknown, mistyped or out of bounds.
        """
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected sections {', '.join(SECTIONS)}, got {type(value).__name__}")
        changes: dict[str, Any] = {}
        for section, body in value.items():
            if section not in SECTIONS:
                raise ConfigError(
                    f"{where}: unknown section '{one_line(section, 60)}'; {nearest(str(section), SECTIONS)}"
                )
            if not isinstance(body, dict):
                raise ConfigError(f"{where}: section '{section}' must be a table of settings")
            for name in body:
                if section not in (FIELDS.get(name, ("",))[0], FORMER_SECTIONS.get(name)):
                    own = [known for known, (home, _) in FIELDS.items() if home == section]
                    raise ConfigError(
                        f"{where}: unknown setting '{one_line(name, 60)}' in '{section}'; {nearest(str(name), own)}"
                    )
            changes.update(body)
        try:
            return cls().replace(**changes)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


S = TypeVar("S", bound=Section)


def _changed(section: S, changes: Mapping[str, Any]) -> S:
    """A section with some settings changed; checked once for the same values of the same types.

    A folder of a thousand runs holds few different networks, and each check of some fifty settings takes a while.
    """
    if not changes:
        return section
    values = tuple((name, type(value), value) for name, value in changes.items())
    try:
        hash(values)
    except TypeError:
        return cast(S, dataclasses.replace(cast(Any, section), **changes))
    return cast(S, _remembered(section, values))


@lru_cache(maxsize=4096)
def _remembered(section: Section, values: tuple[tuple[str, type, Any], ...]) -> Section:
    return cast(Section, dataclasses.replace(cast(Any, section), **{name: value for name, _, value in values}))


@dataclass(frozen=True)
class Recipe:
    """A named, ready configuration: one TOML file.

    Attributes:
        name, about: what it is called, and a line about it.
        config: every setting.
        given: names of the settings that its file gives.
    """

    name: str
    about: str
    config: RunConfig
    given: frozenset[str] = frozenset()

    @property
    def unread(self) -> list[str]:
        """The settings that its file gives and its cell or task does not read."""
        return sorted(self.given & self.config.unread)


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in _recipe_folder().glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """The recipe of that name, or of that path where `name` ends in `.toml`.

    Raises:
        ConfigError: no such recipe, or a file that is not one.
    """
    path = recipe_path(name)
    where = one_line(path.name)
    try:
        import tomllib  # a cell or a run asks for no recipe

        body = tomllib.loads(recipe_text(name))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not a readable recipe: {one_line(error)}") from None
    about = body.pop("about", "")
    if not isinstance(about, str):
        raise ConfigError(f"{where}: 'about' takes a string")
    config = RunConfig.from_json(body, where=where)
    given = frozenset(name for section in body.values() for name in section)
    return Recipe(path.stem, about, config, given)


def recipe_path(name: str) -> Path:
    """The file of a recipe, by name or by path; raises ConfigError for an unknown name."""
    if name.endswith(".toml"):
        return Path(name)
    if name not in recipe_names():
        raise ConfigError(f"no recipe '{one_line(name, 60)}'; {nearest(name, recipe_names())}")
    return _recipe_folder() / f"{name}.toml"


def recipe_text(name: str) -> str:
    """The TOML of a recipe as it stands in its file; raises ConfigError where it cannot be read."""
    path = recipe_path(name)
    try:
        return read_bounded(path, MAX_RECIPE_BYTES, ConfigError, follow_links=True).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{one_line(path.name)}: not a readable recipe: it is not UTF-8") from None


def _recipe_folder() -> Path:
    return Path(__file__).parent / "recipes"
