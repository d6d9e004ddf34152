"""What a user prefers, in one TOML file: the dashboard's looks and keys, and other defaults of `tuirnn train`.

The file is a person's: a changed value replaces its own line, comments and order stay.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from tuirnn.errors import ConfigError, nearest, one_line
from tuirnn.files import atomic_write, read_bounded

MAX_BYTES = 100_000

KEYMAPS = ("usual", "vim")


@dataclass(frozen=True)
class Preference:
    """One of the dashboard's preferences.

    Attributes:
        default: value where the file has none; its type is the preference's.
        help: what it is, one sentence.
        choices: the only values; none: any.
    """

    default: Any
    help: str
    choices: tuple[str, ...] = ()


DASHBOARD: dict[str, Preference] = {
    "theme": Preference("tuirnn-dark", "Colours; T changes them."),
    "ascii": Preference(False, "Draw with plain characters only."),
    "sort": Preference("newest", "Order of the runs; s changes it."),
    "smoothing": Preference(-1.0, "Of the training loss, from 0 to below 1; -1: by the number of points."),
    "keymap": Preference("usual", "Keys: the usual ones, or with those of Vim beside them.", KEYMAPS),
    "bell": Preference(True, "Ring the terminal's bell, and ask it for a notice, when a run ends."),
}
"""The dashboard's preferences by name, section `[dashboard]` of the file."""

SECTIONS = ("dashboard", "keys", "train")


def path() -> Path:
    """The file: `$TUIRNN_CONFIG`, else `config.toml` in the user's folder of settings."""
    named = os.environ.get("TUIRNN_CONFIG")
    return Path(named) if named else Path(platformdirs.user_config_dir("tuirnn")) / "config.toml"


@dataclass(frozen=True)
class Preferences:
    """What the file says, complete with defaults.

    Attributes:
        dashboard: every preference of `DASHBOARD`.
        keys: keys of actions, such as {'train.pause': 'space'}.
        train: settings that a new run begins with, by field name.
    """

    dashboard: Mapping[str, Any]
    keys: Mapping[str, str]
    train: Mapping[str, Any]


def read(file: Path | None = None) -> Preferences:
    """Read and check the file; defaults where there is none.

    Raises:
        ConfigError: it is not TOML, or has something that is not a preference.
    """
    body = _parsed(_text(file or path()), file or path())
    return Preferences(
        {name: one.default for name, one in DASHBOARD.items()} | body.get("dashboard", {}),
        body.get("keys", {}),
        body.get("train", {}),
    )


def _text(file: Path) -> str:
    if not file.exists():
        return ""
    try:
        return read_bounded(file, MAX_BYTES, ConfigError, follow_links=True).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{one_line(file)}: not UTF-8") from None


def _parsed(text: str, file: Path) -> dict[str, dict[str, Any]]:
    if not text.strip():
        return {}
    import tomllib  # most users have no such file

    where = one_line(file)
    try:
        body = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not readable as TOML: {one_line(error)}") from None
    for section, values in body.items():
        if section not in SECTIONS or not isinstance(values, dict):
            raise ConfigError(f"{where}: unknown section '{one_line(section, 40)}'; {nearest(section, SECTIONS)}")
        for name in values:
            try:
                values[name] = _checked(section, name, values[name])
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from None
    return body


def _checked(section: str, name: str, value: Any) -> Any:
    """A value as the preference holds it; raises ConfigError for one that it refuses."""
    if section == "train":
        if name == "sources":
            raise ConfigError("'sources' is given with each training; it has no default")
        from tuirnn.config import checked  # the settings of a training take a while to import

        return checked(name, value)
    if section == "keys":
        if not isinstance(value, str) or "." not in name:
            raise ConfigError(
                f'keys.{one_line(name, 40)}: write it as "TAB.ACTION" = "KEY", such as "train.pause" = "space"'
            )
        return value
    if name not in DASHBOARD:
        raise ConfigError(f"unknown preference '{one_line(name, 40)}'; {nearest(name, DASHBOARD)}")
    known = DASHBOARD[name]
    kind = type(known.default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is list and not all(isinstance(one, str) for one in value)):
        words = {bool: "true or false", float: "a number", str: "a name", list: "a list of names"}
        raise ConfigError(f"{name} takes {words[kind]}, not '{one_line(value, 40)}'")
    if known.choices and value not in known.choices:
        raise ConfigError(f"{name} is one of {', '.join(known.choices)}, not '{one_line(value, 40)}'")
    if name == "smoothing" and value != -1 and not 0 <= value < 1:
        raise ConfigError("smoothing is a number from 0 to below 1, or -1")
    return value


# ── changing ──────────────────────────────────────────────────────────────────


def parse(key: str, word: str) -> Any:
    """A word of a command line as the value of a preference.

    Args:
        key: such as 'dashboard.theme' or 'train.hidden'.
        word: a TOML value, or a bare word.
    Raises:
        ConfigError: no such preference, or not a value of it.
    """
    section, _, name = key.partition(".")
    if section not in SECTIONS or not name:
        from tuirnn.config import FIELDS

        known = [*(f"dashboard.{one}" for one in DASHBOARD), *(f"train.{one}" for one in FIELDS)]
        raise ConfigError(f"no preference '{one_line(key, 60)}'; {nearest(key, known)}")
    import tomllib

    value: Any = word
    with contextlib.suppress(ValueError):
        value = tomllib.loads(f"x = {word}")["x"]
    return _checked(section, name, value)


def change(key: str, value: Any, file: Path | None = None) -> None:
    """Write one preference, or with None take it out; all else in the file stays as it is.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    file = file or path()
    text = _text(file)
    _parsed(text, file)
    section, _, name = key.partition(".")
    changed = _with_line(text, section, name, None if value is None else f"{_key(name)} = {as_toml(value)}")
    _parsed(changed, file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, changed.encode(), durable=False)
    except OSError as error:
        raise ConfigError(f"cannot write {one_line(file)}: {error.strerror}") from None


def _with_line(text: str, section: str, name: str, line: str | None) -> str:
    """The text with the line of a value replaced, added or taken out."""
    lines = text.removesuffix("\n").split("\n") if text else []
    heads = [at for at, one in enumerate(lines) if re.match(r"\s*\[", one)]
    begin = next((at for at in heads if re.match(rf"\s*\[\s*{section}\s*\]", lines[at])), None)
    if begin is None:
        return text if line is None else "\n".join([*lines, *([""] if lines else []), f"[{section}]", line]) + "\n"
    end = next((at for at in heads if at > begin), len(lines))
    own = re.compile(rf"""\s*["']?{re.escape(name)}["']?\s*=""")
    at = next((at for at in range(begin + 1, end) if own.match(lines[at])), None)
    if at is not None:
        lines[at : at + 1] = [] if line is None else [line]
    elif line is not None:
        last = max(at for at in range(begin, end) if lines[at].strip())
        lines.insert(last + 1, line)
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def as_toml(value: Any) -> str:
    """A plain value as TOML."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
