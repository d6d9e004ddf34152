"""Key bindings that also make the footer, the help and the command palette."""

from textual.binding import Binding
from textual.keys import format_key


def key(keys: str, action: str, label: str, help: str) -> Binding:
    """A key binding of a screen or of the dashboard.

    Args:
        keys: Textual's names or single characters, comma separated; the first one is displayed.
        action: of the class that declares the binding.
        label: one or two words for the footer; '' leaves it out there.
        help: a sentence for the help and the command palette.
    """
    return Binding(keys, action, label, show=bool(label), key_display=format_key(keys.split(",")[0]), tooltip=help)
