"""Imports of many modules, without the garbage collector; libraries that an installation may lack."""

import contextlib
import gc
import importlib.util
from collections.abc import Iterator

from tuirnn.errors import ConfigError

LIBRARIES = {"torch": "PyTorch", "pyarrow": "PyArrow"}
"""Import name -> name, of the libraries that an installation which only plays lacks; see requirements-play.txt."""


def is_here(library: str) -> bool:
    """Whether a library is installed; it is not imported."""
    return importlib.util.find_spec(library) is not None


def need_torch() -> None:
    """Raise ConfigError where PyTorch is not installed: before anything is read that only a training needs."""
    if not is_here("torch"):
        raise ConfigError(lacking("torch"))


def lacking(library: str) -> str:
    """One line for a library that is not installed."""
    return f"this needs {LIBRARIES[library]}, which is not installed; install it with: pip install {library}"


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Inside, nothing is collected: what is imported is no garbage, and looking through it costs a tenth of the time.

    What has been imported is not looked through afterwards either.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
