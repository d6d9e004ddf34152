"""What can be learned: one package a task, found by its name. See `tuirnn.tasks.task` for what a task declares."""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuirnn.errors import ConfigError, chosen
from tuirnn.settings.data import DataConfig
from tuirnn.tasks.task import Task, TaskData

if TYPE_CHECKING:
    from tuirnn.vocab import Vocabulary

TASKS: dict[str, Task] = {
    module.name: import_module(f"{__name__}.{module.name}").TASK
    for module in pkgutil.iter_modules(__path__)
    if module.ispkg
}
"""Every task by its name."""

DEFAULT = DataConfig().task
"""The task of a run that names none."""


def find_task(name: str) -> Task:
    """The task of a name; raises ConfigError where there is none."""
    return TASKS[chosen("--task", name, tuple(TASKS))]


def readers(setting: str) -> tuple[str, ...]:
    """The tasks that read a setting; all of them where none of them declares it."""
    return tuple(name for name, task in TASKS.items() if setting in task.settings) or tuple(TASKS)


def reads(task: Task, setting: str) -> bool:
    """Whether a task reads a setting."""
    return task.name in readers(setting)


def check_given(task: Task, given: Mapping[str, Any]) -> None:
    """Refuse settings that were given on purpose and have no effect; raises ConfigError for the first of them."""
    for name in given:
        if not reads(task, name):
            flag = "--" + name.replace("_", "-")
            raise ConfigError(
                f"{flag} has no effect on --task {task.name}: only {', '.join(readers(name))} read it; leave it out"
            )


def load(
    config: DataConfig,
    *,
    vocab: "Vocabulary | None" = None,
    known: Mapping[str, Any] | None = None,
    stdin: Path | None = None,
) -> TaskData:
    """Read the data of `config`'s task; see `Task.load`."""
    return find_task(config.task).load(config, vocab=vocab, known=known, stdin=stdin)
