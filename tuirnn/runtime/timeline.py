"""A text as it came about, token by token: back to any of them, and on from there in branches.

Every `STRIDE` tokens the writer's whole moment is kept; any other one is reached by going back to the kept one
before it and feeding the few tokens between again. The same steps on the same state give the same bits, and the
n-th choice in a text always takes the n-th of its seed's numbers; so what is written after a rewind is, seed and
settings being the same, exactly what was written before it.
"""

from dataclasses import dataclass, field
from typing import Protocol

from tuirnn.runtime.generate import Moment, Written
from tuirnn.runtime.samplers import Sampling

STRIDE = 32
"""Tokens between two kept moments: a rewind feeds at most so many again."""


class Reader(Protocol):
    """What is fed tokens and can go back to a moment; one that also writes chooses by numbers of a seed."""

    def reset(self) -> None:
        """Forget all that was read."""

    def feed_token(self, token: int) -> Written:
        """Read one token."""

    def write(self, sampling: Sampling) -> Written:
        """Choose a token and read it."""

    def seek(self, seed: int, lot: int) -> None:
        """Choose by the numbers of a seed from `lot` on."""

    def moment(self) -> Moment:
        """Everything needed to go on from here."""

    def go_to(self, moment: Moment) -> None:
        """Go back to a moment."""


@dataclass(frozen=True)
class Token:
    """One token of a text: what it says, what it cost in nats, whether the network chose it."""

    id: int
    text: str
    nats: float
    chosen: bool


@dataclass(frozen=True)
class Branch:
    """A text and the way back through it.

    Attributes:
        name: as one calls it.
        parent: name of the branch it went off from; '' for the first.
        fork: tokens that it shares with its parent.
        tokens: all of them, from the beginning.
        moments: the writer before token 0, STRIDE, 2·STRIDE, …
    """

    name: str
    parent: str = ""
    fork: int = 0
    tokens: list[Token] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that was read and written."""
        return "".join(token.text for token in self.tokens)


class Timeline:
    """A reader or writer that knows its way back.

    Args:
        writer: owned from here on.
        seed: of its choices.
        first: name of the first branch.
    """

    def __init__(self, writer: Reader, seed: int = 0, first: str = "main") -> None:
        self.writer = writer
        self.branches: dict[str, Branch] = {}
        self._begin(seed, first)

    def _begin(self, seed: int, name: str) -> None:
        self.branch = self.branches[name] = Branch(name)
        self.writer.reset()
        self.reseed(seed)

    def __len__(self) -> int:
        """Tokens so far."""
        return len(self.branch.tokens)

    # ── on ────────────────────────────────────────────────────────────────────

    def write(self, sampling: Sampling) -> Token:
        """Let the network choose a token."""
        return self._add(None, sampling)

    def read(self, id: int) -> Token:
        """Give it one."""
        return self._add(id, None)

    def _add(self, id: int | None, sampling: Sampling | None) -> Token:
        branch = self.branch
        if len(branch.tokens) == STRIDE * len(branch.moments):
            branch.moments.append(self.writer.moment())
        written = self.writer.write(sampling) if sampling is not None else self.writer.feed_token(int(id or 0))
        token = Token(written.token, written.text, written.nats, sampling is not None)
        branch.tokens.append(token)
        return token

    # ── back ──────────────────────────────────────────────────────────────────

    def rewind(self, to: int) -> int:
        """Go back to where there were `to` tokens; returns how many characters that takes from the text."""
        branch = self.branch
        to = max(to, 0)
        if to >= len(branch.tokens):
            return 0
        gone = sum(len(token.text) for token in branch.tokens[to:])
        kept = to // STRIDE
        self.writer.go_to(branch.moments[kept])
        again = branch.tokens[kept * STRIDE : to]
        del branch.tokens[to:], branch.moments[-(-to // STRIDE) :]
        self._feed_again(again)
        return gone

    def rewind_characters(self, count: int) -> int:
        """Go back by at least so many characters, to the beginning of a token; returns how many that took."""
        tokens, to, taken = self.branch.tokens, len(self), 0
        while to and taken < count:
            to -= 1
            taken += len(tokens[to].text)
        return self.rewind(to)

    def _feed_again(self, tokens: list[Token]) -> None:
        """Feed tokens that are in the text already; the next choice takes the number that is its turn."""
        for token in tokens:
            self.writer.feed_token(token.id)
        self.reseed(self.seed)

    def reseed(self, seed: int) -> None:
        """Choose by the numbers of this seed from here on; the text and the state stay."""
        self.seed = seed
        self.writer.seek(seed, sum(token.chosen for token in self.branch.tokens))

    def begin_anew(self, seed: int) -> None:
        """An empty text from the zero state, in place of the one that is open; all that was kept stays."""
        name = self.branch.name if not self.branch.parent else self._free("main")
        self._begin(seed, name)

    # ── aside ─────────────────────────────────────────────────────────────────

    def keep(self, name: str) -> Branch:
        """Keep the text and the state as they are now under a name; the present branch goes on."""
        branch = self.branch
        kept = Branch(self._free(name), branch.name, len(self), list(branch.tokens), list(branch.moments))
        self.branches[kept.name] = kept
        return kept

    def fork(self, name: str) -> Branch:
        """Go on from here in a branch of its own; the present one stays as it is."""
        self.branch = self.keep(name)
        return self.branch

    def switch(self, name: str) -> Branch:
        """Go to the end of another branch."""
        self.branch = self.branches[name]
        tokens, moments = self.branch.tokens, self.branch.moments
        if moments:
            last = len(moments) - 1
            self.writer.go_to(moments[last])
            self._feed_again(tokens[last * STRIDE :])
        else:
            self.writer.reset()
            self.reseed(self.seed)
        return self.branch

    def _free(self, name: str) -> str:
        """`name`, or the first of `name 2`, `name 3`, … that is not taken."""
        name = " ".join(name.split())[:40] or "branch"
        taken, number = name, 2
        while taken in self.branches:
            taken, number = f"{name} {number}", number + 1
        return taken
