"""What a section of settings is: a frozen dataclass whose fields carry a line of help, bounds and choices."""

import copy
import dataclasses
import math
from dataclasses import field, fields
from types import MappingProxyType
from typing import Any, TypeVar, cast

from tuirnn.errors import ConfigError, chosen, one_line

T = TypeVar("T")

KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    tuple[str, ...]: "a list of texts",
}
"""What a value of each type is called."""


def option(
    default: T,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    flag: str | None = None,
) -> T:
    """A configuration field: its default, a line of help, inclusive bounds or the allowed words."""
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "flag": flag}
    return field(default=default, metadata=metadata)


def described(spec: "dataclasses.Field[Any]", **metadata: Any) -> "dataclasses.Field[Any]":
    """A copy of a field with other help, bounds or choices."""
    copied = copy.copy(spec)
    copied.metadata = MappingProxyType({**spec.metadata, **metadata})
    return copied


class Section:
    """Shared checking of the sections: types, bounds and choices as the field metadata says."""

    def __post_init__(self) -> None:
        for spec in fields(cast(Any, self)):
            object.__setattr__(self, spec.name, checked_value(spec, getattr(self, spec.name)))
        self.check()

    def check(self) -> None:
        """Refuse combinations of valid values that have no meaning; sections override it."""


def checked_value(spec: "dataclasses.Field[Any]", value: Any) -> Any:
    """`value` as the field `spec` holds it: of its type, within its bounds, a choice as it is written there."""
    if type(value) is spec.type and type(value) in (bool, str) and not spec.metadata["choices"]:
        return value  # 1,000 runs are listed within a second: most settings end here
    value = _typed(spec, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{flag_of(spec.name)} takes a finite number, not {value}")
    low, high = spec.metadata["low"], spec.metadata["high"]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if low is not None and value < low:
            raise ConfigError(f"{flag_of(spec.name)} must be at least {_shown(low)}, not {_shown(value)}")
        if high is not None and value > high:
            raise ConfigError(f"{flag_of(spec.name)} must be at most {_shown(high)}, not {_shown(value)}")
    return value


def _typed(spec: "dataclasses.Field[Any]", value: Any) -> Any:
    kind = spec.type
    if type(value) is kind and not spec.metadata["choices"]:
        return value
    flag = flag_of(spec.name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{flag} takes a number of fewer digits") from None
    if kind == tuple[str, ...]:
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value) is kind:
        return chosen(flag, value, spec.metadata["choices"]) if spec.metadata["choices"] else value
    raise ConfigError(f"{flag} takes {KINDS[kind]}, not {one_line(repr(value), 60)}")


def _shown(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def flag_of(name: str) -> str:
    """The command-line option that sets the field `name`."""
    return "SOURCE" if name == "sources" else "--" + name.replace("_", "-")
