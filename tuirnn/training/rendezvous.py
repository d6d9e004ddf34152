"""Rendezvous of the processes of a training: the store through which they exchange their addresses."""

import os
import time
import uuid
from datetime import timedelta

from torch.distributed import FileStore, PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous as torch_rendezvous

from tuirnn.training.member import RENDEZVOUS_FILE, Member

POLL = 0.05
"""Seconds between two checks of the store while processes are missing."""

PATIENT = timedelta(days=3650)
"""Time limit of an operation that waits for another process, which may evaluate or pause for as long as it likes."""


def rendezvous(member: Member) -> tuple[str, Store]:
    """Wait until all processes of this training are present.

    torchrun keeps its store when it starts processes again, with everything that their predecessors wrote. So the
    leader draws a name for each rendezvous. A follower trusts the name that it reads only if its greeting is answered.

    Args:
        member: this process.
    Returns:
        the name of this rendezvous, and a part of the store that contains only its keys.
    """
    store = open_store(member)
    name = _lead(store, member) if member.rank == 0 else _follow(store, member)
    return name, PrefixStore(name, store)


def open_store(member: Member, timeout: timedelta = PATIENT) -> Store:
    """A connection to the store of this training.

    Args:
        member: this process.
        timeout: of reading a value.
    """
    if path := os.environ.get(RENDEZVOUS_FILE):
        return FileStore(path, member.size)
    store: Store = next(torch_rendezvous("env://", timeout=timeout))[0]
    return store


def rendezvous_store(name: str, member: Member) -> Store:
    """Another connection to the part of the store that belongs to a rendezvous."""
    return PrefixStore(name, open_store(member))


def _lead(store: Store, member: Member) -> str:
    name = uuid.uuid4().hex
    store.set("rendezvous", name)
    greetings = [f"{name}/greeting {rank}" for rank in range(1, member.size)]
    while not store.check(greetings):
        time.sleep(POLL)
    store.set(f"{name}/answer", " ".join(store.get(key).decode() for key in greetings))
    return name


def _follow(store: Store, member: Member) -> str:
    greeting, name = uuid.uuid4().hex, ""
    while True:
        if store.check(["rendezvous"]) and (current := store.get("rendezvous").decode()) != name:
            name = current
            store.set(f"{name}/greeting {member.rank}", greeting)
        if name and store.check([f"{name}/answer"]) and greeting in store.get(f"{name}/answer").decode():
            return name
        time.sleep(POLL)
