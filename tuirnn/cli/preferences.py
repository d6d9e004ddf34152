"""`tuirnn config`: what the user prefers, shown and changed."""

from typing import Annotated, Any

import typer

from tuirnn.cli.options import Json, print_json_pretty
from tuirnn.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "config",
        epilog="Examples: tuirnn config dashboard.theme nord    tuirnn config train.hidden 256",
    )(config)


def config(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="dashboard.NAME, train.SETTING, or keys.TAB.ACTION.")
    ] = None,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="The new value.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Return to the default.")] = False,
    as_json: Json = False,
) -> None:
    """Show or change preferences: looks and keys of the dashboard, and defaults of 'tuirnn train'.

    They are kept in one TOML file, which you may edit by hand. Defaults for training apply unless an option or a
    recipe sets something else.
    """
    from tuirnn import preferences

    if key is not None and (value is not None or unset):
        if value is not None and unset:
            raise ConfigError("--unset takes no value")
        known = preferences.parse(key, value) if value is not None else None
        preferences.change(key, known)
        told = f"is {preferences.as_toml(known)}" if value is not None else "has its default again"
        print(f"{key} {told}, in {preferences.path()}")
        return
    found = _flat(preferences.read())
    if key is not None:
        if key not in found:
            preferences.parse(key, "")
        found = {key: found.get(key)}
    if as_json:
        print_json_pretty({"file": str(preferences.path()), "values": found})
        return
    print(f"# {preferences.path()}{'' if preferences.path().exists() else ' (not there yet)'}")
    width = max(map(len, found))
    for name, one in found.items():
        about = preferences.DASHBOARD.get(name.removeprefix("dashboard."))
        print(f"{name:<{width}}  {preferences.as_toml(one):<16}{'  ' + about.help if about else ''}".rstrip())


def _flat(known: Any) -> dict[str, Any]:
    """Every preference by its whole name."""
    sections = {"dashboard": known.dashboard, "keys": known.keys, "train": known.train}
    return {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}
