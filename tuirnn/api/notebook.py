"""What a training shows in a notebook: one block below the cell that is renewed, instead of lines."""

import html
import time
import uuid
from pathlib import Path

from IPython.display import display, update_display

from tuirnn.cli.options import figure
from tuirnn.cli.progress import PlainReport, pace
from tuirnn.config import RunConfig
from tuirnn.training import events

EVERY = 0.25
"""Seconds between two renewals: a notebook sends each over a connection."""


class NotebookReport(PlainReport):
    """A progress bar, the last evaluations and the last sample in one block, which keeps them when the training ends.

    Needs nothing but IPython, without which there is no notebook; in particular no widgets.
    """

    SHOWN = 5
    """Evaluations that stay in sight; the others are in the run."""

    def __init__(self, config: RunConfig, runs: Path | None = None) -> None:
        super().__init__(config, runs)
        self._lines: list[str] = []
        self._evaluations: list[str] = []
        self._sample, self._bar = "", ""
        self._block = f"tuirnn-{uuid.uuid4().hex}"
        self._shown = False
        self._next_renewal = 0.0

    def say(self, line: str, style: str = "") -> None:
        """Add a line to the block."""
        self._lines.append(line)
        self._renew()

    def on_step(self, e: events.Step) -> None:
        """Move the bar, a few times a second."""
        if time.monotonic() >= self._next_renewal:
            numbers = f"step {e.step:,} · {100 * e.progress:.0f} % · train {figure(e.loss, 3)}"
            numbers += pace(e, self.noun, " · ")
            self._bar = f'<progress max="1" value="{min(1.0, e.progress):.3f}"></progress> {numbers}'
            self._renew()

    def on_eval(self, e: events.Evaluation) -> None:
        """The last few evaluations."""
        mark = "  ★ best so far" if e.best else ""
        self._evaluations.append(f"step {e.step:,}  validation {self.figures(e)}{mark}")
        del self._evaluations[: -self.SHOWN]
        self._renew()

    def on_sample(self, e: events.Sample) -> None:
        """What the network writes, or how it judges held-out data."""
        self._sample = e.text
        self._renew()

    def on_end(self, e: events.End) -> None:
        """The result in place of the bar."""
        self._bar = ""
        super().on_end(e)

    def _renew(self) -> None:
        self._next_renewal = time.monotonic() + EVERY
        lines = html.escape("\n".join([*self._lines, *self._evaluations]))
        sample = html.escape(self._sample)
        text = f"<pre>{lines}</pre>{self._bar}<pre style='opacity: 0.7; max-height: 12em'>{sample}</pre>"
        plain = "\n".join([*self._lines, *self._evaluations, self._sample])
        show = update_display if self._shown else display
        show({"text/html": text, "text/plain": plain}, raw=True, display_id=self._block)  # type: ignore[no-untyped-call]
        self._shown = True
