"""Which of a training's processes this one is, as torchrun's environment variables say.

`tuirnn train --processes N` sets the same variables for the processes that it starts, and `MEETING` besides.
"""

import os
from dataclasses import dataclass

from tuirnn.errors import ConfigError, one_line

MEETING = "TUIRNN_MEETING"
"""Names the file through which the processes of one machine find one another; without it torchrun says how."""


@dataclass(frozen=True)
class Place:
    """Rank 0 leads: it alone decides, writes and speaks.

    Attributes:
        rank: of this process, of `size` in all.
        local_rank: among the `local_size` on this machine; also the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def follows(self) -> bool:
        """Whether another process leads this one."""
        return self.rank > 0

    def environment(self) -> dict[str, str]:
        """The variables that `find_place` reads."""
        values = (self.rank, self.size, self.local_rank, self.local_size)
        return {name: str(value) for name, value in zip(VARIABLES, values, strict=True)}


ALONE = Place()
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def find_place() -> Place:
    """This process's place; that of a process of its own where the environment names none.

    Raises:
        ConfigError: the variables are no numbers, or do not go together.
    """
    if any(name not in os.environ for name in VARIABLES):
        return ALONE
    given = [os.environ[name] for name in VARIABLES]
    rank, size, local_rank, local_size = (int(word) if word.isdecimal() else -1 for word in given)
    if not (0 <= local_rank <= rank < size and local_rank < local_size <= size):
        said = ", ".join(f"{name}={one_line(word, 20)}" for name, word in zip(VARIABLES, given, strict=True))
        raise ConfigError(f"{said} name no process of a training; start it with torchrun, or unset them")
    return Place(rank, size, local_rank, local_size)
