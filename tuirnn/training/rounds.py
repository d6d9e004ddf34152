"""Rounds of timing in which every contender has its turn; those that something else has disturbed are made again."""

import math
import statistics
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Runs something once and says how many seconds it took."""

QUIET = 1.3
"""How many times as long as at its quickest a `LoadMonitor` may take around a round that counts."""

PATIENCE = 3
"""How many times the rounds that are asked for are made at most in search of quiet ones."""


class LoadMonitor:
    """Times something small that shares nothing with what is measured, to notice when something else is at work.

    A neighbour on the same core, of another virtual machine too, doubles its time.

    Attributes:
        quickest: seconds that it took when it took least.
    """

    quickest = math.inf

    def __call__(self) -> float:
        """Seconds, the median of some tries."""
        now = statistics.median(map(self._work, range(5)))
        self.quickest = min(self.quickest, now)
        return now

    def _work(self, start: int) -> float:
        began = time.perf_counter()
        for number in range(50_000):
            start += number
        return time.perf_counter() - began


def interleaved(clocks: dict[str, Clock], rounds: int, monitor: LoadMonitor) -> tuple[dict[str, list[float]], int]:
    """Seconds of each clock in each of the quietest rounds, and how many of these were disturbed all the same.

    A round in which the machine was slow, before it or after, is made again, while there is patience. One before the
    first warms up.
    """

    def is_disturbed(round_: tuple[float, dict[str, float]]) -> bool:
        return round_[0] > QUIET * monitor.quickest

    for clock in clocks.values():
        clock()
    made: list[tuple[float, dict[str, float]]] = []  # what the monitor took, and each clock's seconds
    before = monitor()
    while len(made) < PATIENCE * rounds and sum(not is_disturbed(each) for each in made) < rounds:
        took = {name: clock() for name, clock in clocks.items()}
        after = monitor()
        made.append((max(before, after), took))
        before = after
    quietest = sorted(made, key=lambda round_: round_[0] if is_disturbed(round_) else 0.0)[:rounds]
    times = {name: [took[name] for _, took in quietest] for name in clocks}
    return times, sum(map(is_disturbed, quietest))
