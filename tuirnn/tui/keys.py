"""Key bindings that also make the footer, the help and the command palette."""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from textual.binding import Binding
from textual.keys import format_key

from tuirnn.errors import ConfigError, nearest, one_line

VIM: dict[str, str] = {
    "runs.down": "down,j", "runs.up": "up,k", "runs.page_down": "pagedown,ctrl+d", "runs.page_up": "pageup,ctrl+u",
    "runs.top": "home,ctrl+home", "runs.bottom": "end,ctrl+end,G",
    "train.left": "left,h", "train.right": "right,l",
    "train.scroll_down": "down,j", "train.scroll_up": "up,k",
    "xray.left": "left,h", "xray.right": "right,l", "xray.unit_down": "down,j", "xray.unit_up": "up,k",
    "xray.layer": "z",
    "generate.scroll_down": "down,j", "generate.scroll_up": "up,k", "generate.keep": "M",
    "compare.scroll_down": "down,j", "compare.scroll_up": "up,k", "compare.left": "left,h", "compare.right": "right,l",
    "sweep.scroll_down": "down,j", "sweep.scroll_up": "up,k",
    "app.command_palette": "ctrl+p,colon",
}  # fmt: skip
"""Keys of the keymap 'vim', by the id of their action."""

FORMER = {
    "xray.earlier": "xray.left", "xray.later": "xray.right", "xray.next_sequence_1": "xray.next_sequence",
    "sweep.measure": "sweep.setting", "generate.copy": "app.copy",
}  # fmt: skip
"""Ids of actions that have other ones now; the user's keys still name them."""


def named(tab: str, keys: Iterable[Binding]) -> tuple[Binding, ...]:
    """The same keys with ids, by which a keymap can give an action other keys: 'train.pause'."""
    return tuple(dataclasses.replace(one, id=f"{tab}.{_word(one.action)}") for one in keys)


def _word(action: str) -> str:
    """An action as a word: `send('back', 1)` is 'send_back_1'."""
    return "_".join(re.findall(r"\w+", action))


def keymap(name: str, own: Mapping[str, str], known: Iterable[Binding]) -> dict[str, str]:
    """Keys by the ids of their actions, for `App.set_keymap`.

    Args:
        name: one of `preferences.KEYMAPS`.
        own: the user's keys by id.
        known: every key of the dashboard, with its id.
    Raises:
        ConfigError: keys for an action that there is not.
    """
    ids = {one.id for one in known if one.id}
    own = {FORMER.get(one, one): keys for one, keys in own.items()}
    for one in own:
        if one not in ids:
            raise ConfigError(f"keys: no action '{one_line(one, 60)}'; {nearest(one, sorted(ids))}")
    chosen = VIM if name == "vim" else {}
    return {one: keys for one, keys in (dict(chosen) | dict(own)).items() if one in ids}


def key(keys: str, action: str, label: str, help: str) -> Binding:
    """A key binding of a screen or of the dashboard.

    Args:
        keys: Textual's names or single characters, comma separated; the first one is displayed.
        action: of the class that declares the binding.
        label: one or two words for the footer; '' leaves it out there.
        help: a sentence for the help and the command palette.
    """
    return Binding(keys, action, label, show=bool(label), key_display=format_key(keys.split(",")[0]), tooltip=help)


def as_mapped(keys: Iterable[Binding], mapped: Mapping[str, str]) -> list[Binding]:
    """The same keys as a keymap changes them, for the help."""
    return [
        dataclasses.replace(one, key=new, key_display=format_key(new.split(",")[0]))
        if (new := mapped.get(one.id or ""))
        else one
        for one in keys
    ]
