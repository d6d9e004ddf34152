"""The tabs by name. Each is imported when it is first needed, so that the open one is on the screen early."""

import importlib

from tuirnn.tui.screens.base import Tab

TITLES = {
    "runs": "Runs", "train": "Train", "xray": "X-ray", "generate": "Generate", "compare": "Compare", "sweep": "Sweep",
}  # fmt: skip
"""Name -> what the user sees; in the order of their number keys. The module in `screens` has the same name."""


def tab_class(name: str) -> type[Tab]:
    """The class of a tab."""
    module = importlib.import_module(f"tuirnn.tui.screens.{name}")
    return next(one for one in vars(module).values() if isinstance(one, type) and vars(one).get("NAME") == name)


def tab_classes() -> list[type[Tab]]:
    """All of them, in the order of their number keys."""
    return [tab_class(name) for name in TITLES]
