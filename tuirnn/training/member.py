"""Which of a training's processes this one is, as the environment variables of torchrun say."""

import os
from dataclasses import dataclass

from tuirnn.errors import ConfigError, one_line

RENDEZVOUS_FILE = "TUIRNN_RENDEZVOUS"
"""The variable that names the file through which the processes of `tuirnn train --processes N` exchange addresses.

Without it they use torchrun's store.
"""


@dataclass(frozen=True)
class Member:
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


ALONE = Member()
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def find_member() -> Member:
    """This process; one on its own where the environment names none.

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
    return Member(rank, size, local_rank, local_size)


def under_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def under_command() -> bool:
    """Whether `tuirnn train --processes N` started this process; it reports which one was lost."""
    return RENDEZVOUS_FILE in os.environ


def launch_id() -> dict[str, str]:
    """What `run.json` says of the torchrun that has started this process: its id."""
    return {"torchrun": os.environ["TORCHELASTIC_RUN_ID"]} if under_torchrun() else {}
