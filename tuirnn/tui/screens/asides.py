"""What stands behind a run's curves: its log, the machine, and what is found in it; read in threads, once a second."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from tuirnn.runlog.probes import ProbeLog
from tuirnn.runlog.snapshot import Snapshot
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import RunSummary
from tuirnn.tui import run_log
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.run_fields import own_words
from tuirnn.tui.usage import Meter, Usage
from tuirnn.tui.widgets.styled_text import StyledText
from tuirnn.tui.widgets.system_panel import SystemPanel

if TYPE_CHECKING:
    from tuirnn.diagnosis import Finding

EVERY = 1.0
"""Seconds between two readings of log and machine."""

FOUND_EVERY = 2.0
"""Seconds between two searches for findings in a run that is live."""


class Asides:
    """Keeps the panels of a tab up to date.

    Args:
        tab: has these panels, which exist as long as it does.

    Attributes:
        found: the panel of the findings.
        behind: the log, and the machine.
    """

    def __init__(self, tab: Tab) -> None:
        self._tab = tab
        self.found = Static("", id="train-diagnosis", markup=False)
        self._log, self._system = StyledText(id="train-log"), SystemPanel(id="train-system")
        self._log.border_title, self._system.border_title = "log", "this machine"
        self.behind = Horizontal(self._log, self._system, id="train-behind")
        self._usage = Usage(tab.context.folder.path)
        self._run: RunSummary | None = None
        self._probes: ProbeLog | None = None
        self._paths: RunPaths | None = None
        self._log_state: run_log.State | None = None
        self._next_reading = self._next_search = 0.0
        self._busy: set[str] = set()
        self._searched: object = None
        self.findings: tuple[Finding, ...] = ()

    def follow(self, run: RunSummary | None, paths: RunPaths | None) -> None:
        """Show what stands behind this run."""
        self._run = run
        if paths != self._paths:
            self._paths, self._log_state, self._searched = paths, None, None
            self._probes = ProbeLog(paths.probes) if paths else None
            self._next_reading = self._next_search = 0.0
            self._log.clear()
            self._show_findings(())

    def now(self) -> None:
        """Read log and machine at the next tick: their panels have come to the screen."""
        self._next_reading = 0.0

    def tick(self, snapshot: Snapshot) -> None:
        """Read what is on the screen, if it is time for it."""
        now = time.monotonic()
        if now >= self._next_search and snapshot.share >= 1:
            self._search(snapshot, now)
        if now >= self._next_reading and self.behind.display:
            self._next_reading = now + EVERY
            self._work("system", self._usage.read, self._show_meters)
            self._read_log()

    def _work(self, name: str, work: Callable[[], object], then: Callable[..., None]) -> None:
        if name in self._busy:
            return
        self._busy.add(name)

        def done(result: object) -> None:
            self._busy.discard(name)
            if self._tab.is_running and self._tab.children:
                then(result)

        self._tab.context.in_background(f"train-{name}", work, done, lambda _: self._busy.discard(name))

    # ── the machine and the log ───────────────────────────────────────────────

    def _show_meters(self, meters: Sequence[Meter]) -> None:
        status = self._run.status if self._run else None
        self._system.show(meters, status, self._usage.note)

    def _read_log(self) -> None:
        paths = self._paths
        if paths is None or (now := run_log.state(paths)) == self._log_state:
            return

        def shown(lines: list[str]) -> None:
            if paths == self._paths:
                self._log_state = now
                self._log.clear()
                self._log.append([("\n".join(lines), "plain")] if lines else [("nothing has been written yet", "dim")])

        self._work("log", lambda: run_log.lines(paths), shown)

    # ── what is found in the run ──────────────────────────────────────────────

    def _search(self, snapshot: Snapshot, now: float) -> None:
        """Look again if there are evaluations, or a state, that were not looked at."""
        run, probes = self._run, self._probes
        if run is None or probes is None or run.paths != self._paths:
            return
        seen = (run.paths, len(snapshot.val), len(snapshot.train) // 50, run.status.state, snapshot.generation)
        if seen == self._searched:
            return
        self._searched, self._next_search = seen, now + FOUND_EVERY

        def search() -> "tuple[Finding, ...]":
            from tuirnn import diagnosis  # the first frame shows no finding

            return diagnosis.diagnose(run, snapshot, probes.read())

        def found(findings: "tuple[Finding, ...]") -> None:
            if run.paths == self._paths:
                self._show_findings(findings)

        self._work("findings", search, found)

    def _show_findings(self, findings: "tuple[Finding, ...]") -> None:
        panel, self.findings = self.found, findings
        panel.display = bool(findings)
        panel.update(Content("\n").join(_line(one) for one in findings))
        self._tab.app.refresh_bindings()


def _line(found: "Finding") -> Content:
    return Content.assemble(
        ("▲ ", "bold $text-warning"),
        (found.what, "bold $text-warning"),
        (f"  {own_words(found.evidence)}", "$text-muted"),
    )
