"""Pictures of runs: figures of matplotlib that a notebook shows by themselves."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuirnn.comparison import Compared, check_alignment, drawn
from tuirnn.errors import ConfigError, RunError, one_line
from tuirnn.files import atomic_write
from tuirnn.runlog.feed import RunFeed
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import summarize


def picture(runs: Sequence[RunPaths], path: Path | None, by: str) -> Any:
    """The curves of some runs; see `Run.plot`."""
    by = check_alignment(by)
    compared = []
    for paths in runs:
        feed = RunFeed(paths)
        while feed.advance():
            pass
        compared.append(Compared(summarize(paths), feed.snapshot))
    try:
        figure = drawn(compared, by)
    except ImportError:
        raise ConfigError("plot() needs matplotlib; install it with: pip install 'tuirnn[plots]'") from None
    figure._repr_png_ = lambda: _written(figure, "png")  # what a notebook asks of the value of a cell
    if path is not None:
        form = path.suffix[1:]
        if form not in figure.canvas.get_supported_filetypes():
            raise ConfigError(
                f"plot() takes a file name that ends in .svg, .png or .pdf, not '{one_line(path.name, 60)}'"
            )
        try:
            atomic_write(path, _written(figure, form))
        except OSError as error:
            raise RunError(f"cannot write {one_line(path)}: {error.strerror}; name another file") from None
    return figure


def _written(figure: Any, form: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=form, dpi=150)
    return file.getvalue()
