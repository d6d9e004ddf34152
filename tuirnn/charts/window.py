"""Which part of an x axis is on the screen: zooming, panning, following the end of what grows."""

import math
from dataclasses import dataclass

ZOOM = 2.0
SMALLEST = 1e-6
"""A window never becomes a smaller share of the whole than this."""


@dataclass(frozen=True)
class Window:
    """From `end - width` to `end`; an infinite width shows all, an infinite end follows what grows."""

    width: float = math.inf
    end: float = math.inf

    @property
    def whole(self) -> bool:
        """Whether everything is shown."""
        return math.isinf(self.width)

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """What is shown of data that lie between low and high."""
        if self.whole:
            return -math.inf, math.inf
        end = min(self.end, high)
        return max(end - self.width, low), end

    def zoomed(self, by: int, around: float, low: float, high: float) -> "Window":
        """Twice the detail (by = 1) or half of it (-1), `around` kept where it is."""
        a, b = (low, high) if self.whole else self.bounds(low, high)
        around = min(max(around, a), b)
        factor = ZOOM**-by
        width = (b - a) * factor
        if width >= (high - low) or not width > SMALLEST * (high - low):
            return Window() if by < 0 else self
        end = around + (b - around) * factor
        return Window(width, math.inf if end >= high else end).panned(0.0, low, high)

    def panned(self, share: float, low: float, high: float) -> "Window":
        """Moved by a share of its own width, to the right where positive; stops at the ends of the data."""
        if self.whole:
            return self
        end = max(min(self.end, high) + share * self.width, low + self.width)
        return Window(self.width, math.inf if end >= high else end)
