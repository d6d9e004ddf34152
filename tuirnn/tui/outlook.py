"""The estimate of a run's size and duration in words."""

from tuirnn import machine
from tuirnn.diagnosis import HOPELESS
from tuirnn.estimate import Estimate
from tuirnn.machine import size
from tuirnn.settings.training import TrainConfig
from tuirnn.survey import Survey
from tuirnn.text import count, duration, short

UNKNOWN = "unknown: no run like it yet"


def outlook(train: TrainConfig, found: Estimate, source: str = "", missing: str = UNKNOWN) -> str:
    """Number of parameters, memory, and duration.

    Args:
        train: settings, with the limits of the training.
        found: the estimate.
        source: where the speed is from.
        missing: what is said of steps or time while the speed is not known.
    """
    there = machine.room()
    tight = f", {size(there.free)} free" if there and found.memory > there.free else ""
    words = [f"{short(found.parameters)} parameters", f"about {size(found.memory)} of memory{tight}"]
    words.append(length(train, found, missing))
    if found.pace and (found.last_step or found.limit):
        words.append(source)
    return " · ".join(words)


def warning(found: Estimate, data: Survey) -> str:
    """What is hopeless about a run before it starts, as its diagnosis will say; '' if nothing is known to be."""
    if not data.train or found.parameters < HOPELESS * data.train:
        return ""
    ratio = f"{short(found.parameters)} parameters would learn from {short(data.train)} {data.noun}"
    return f"▲ data too small for the network: {ratio}; try a smaller --hidden, or more data"


def length(train: TrainConfig, found: Estimate, missing: str = UNKNOWN) -> str:
    """What ends the run, and when."""
    if not found.last_step and not found.limit:
        return f"until {train.patience} evaluations in a row find no lower loss"
    most, steps, time = "at most " * bool(train.patience), f"{count(found.last_step)} steps", duration(found.limit)
    if not found.limit:
        about = f", about {duration(found.seconds)}" if found.pace else f", time {missing}"
        return most + steps + _reason(train, found) + about
    if not found.last_step:
        about = f"about {short(found.steps)} steps" if found.pace else f"steps {missing}"
        return f"{most}{time}, {about}"
    if not found.pace:
        which = ", which of them is being measured" if missing != UNKNOWN else ", whichever comes first"
        return f"{most}{steps} or {time}{which}"
    if found.steps < found.last_step:
        return f"{most}{time}, about {short(found.steps)} of {steps}"
    return f"{most}{steps}, about {duration(found.seconds)}"


def _reason(train: TrainConfig, found: Estimate) -> str:
    """Why there is a last step, if it is not the setting `steps`."""
    if not train.steps and not train.epochs:
        return " (no limit is set)"
    return "" if found.last_step == train.steps else f" ({train.epochs:g} epochs)"
