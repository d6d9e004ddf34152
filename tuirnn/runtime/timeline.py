"""A text as it came about, token by token, and a cursor in it: back, forward, and on from anywhere in branches.

Nothing that was read or written is ever lost. Going back moves the cursor; what comes after it stays. What is read or
written there goes along the text as long as it is the same, and where it is not it begins a branch of its own.

Every `STRIDE` tokens the writer's whole moment is kept; any other one is reached by going back to the kept one before
it and feeding the few tokens between again. The same steps on the same state give the same bits, and the n-th choice
in a text always takes the n-th of its seed's numbers; so what is written after a rewind is, seed and settings being
the same, exactly what was written before it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from tuirnn.runtime.generate import Moment, Written
from tuirnn.runtime.samplers import Sampling

STRIDE = 32
"""Tokens between two kept moments: a move feeds at most so many again."""


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
    """One token of a text.

    Attributes:
        id: of the vocabulary.
        text: what it says; '' inside a UTF-8 sequence.
        nats: what it cost.
        chosen: whether the network chose it.
        end: characters of the text up to and with it.
        lots: choices up to and with it.
    """

    id: int
    text: str
    nats: float
    chosen: bool
    end: int
    lots: int


@dataclass(frozen=True)
class Branch:
    """A text and the way back through it.

    Attributes:
        name: as one calls it.
        parent: name of the branch it went off from; '' for one from the zero state.
        fork: tokens that it shares with its parent.
        tokens: all of them, from the beginning.
        moments: the writer before token 0, STRIDE, 2·STRIDE, …; before the next one, too, where that is known.
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

    def start(self, at: int) -> int:
        """Characters before token `at`."""
        return self.tokens[at - 1].end if at else 0

    def beginning(self, name: str, at: int) -> "Branch":
        """A new branch with the first `at` tokens of this one."""
        return Branch(name, self.name, at, self.tokens[:at], self.moments[: at // STRIDE + 1])


class Timeline:
    """A reader or writer that knows its way back.

    Attributes:
        branch: the one that is open.
        at: where the cursor is: tokens before it.
        branches: all that can be reached, by name.

    Args:
        writer: owned from here on.
        seed: of its choices.
        first: name of the first branch.
    """

    def __init__(self, writer: Reader, seed: int = 0, first: str = "main") -> None:
        self.writer = writer
        self.branches: dict[str, Branch] = {}
        self._home: tuple[Branch, int] | None = None  # where the draft was begun
        self._begin(seed, first)

    def _begin(self, seed: int, name: str) -> None:
        self.branch = self.branches[name] = Branch(name)
        self.at = 0
        self.writer.reset()
        self.reseed(seed)

    @property
    def home(self) -> Branch:
        """The open branch, whatever is being typed in it."""
        return self._home[0] if self._home else self.branch

    @property
    def begun(self) -> int:
        """Where the draft begins; without one, where the cursor is."""
        return self._home[1] if self._home else self.at

    def __len__(self) -> int:
        """Tokens of the open branch, before and after the cursor."""
        return len(self.branch.tokens)

    # ── on ────────────────────────────────────────────────────────────────────

    def write(self, sampling: Sampling) -> Token:
        """Let the network choose a token."""
        self.settle()
        return self._add(None, sampling)

    def read(self, id: int) -> Token:
        """Give it one."""
        self.settle()
        return self._add(id, None)

    def _add(self, id: int | None, sampling: Sampling | None) -> Token:
        before = self.branch.tokens[self.at - 1] if self.at else None
        moment = self.writer.moment() if self.at == STRIDE * len(self.branch.moments) else None
        written = self.writer.write(sampling) if sampling is not None else self.writer.feed_token(int(id or 0))
        token = Token(
            written.token, written.text, written.nats, sampling is not None,
            (before.end if before else 0) + len(written.text), (before.lots if before else 0) + (sampling is not None),
        )  # fmt: skip
        self._append(token, moment)
        return token

    def _append(self, token: Token, moment: Moment | None) -> None:
        """Put a token that has been fed at the cursor: along the text where it is the same, else in a branch."""
        if self.at < len(self):
            known = self.branch.tokens[self.at]
            if (known.id, known.chosen) == (token.id, token.chosen):
                self.at += 1
                return
            self.branch = self.branch.beginning(self._next_name(), self.at)
            self.branches[self.branch.name] = self.branch
        if moment is not None:
            self.branch.moments.append(moment)
        self.branch.tokens.append(token)
        self.at += 1

    # ── there and back ────────────────────────────────────────────────────────

    def go_to(self, to: int) -> None:
        """Move the cursor to where there are `to` tokens before it; no token is added or lost."""
        self.settle()
        to = min(max(to, 0), len(self))
        if to != self.at:
            self._place(to)

    def _place(self, to: int) -> None:
        """Bring the writer to where it was before token `to` of the open branch."""
        tokens, moments = self.branch.tokens, self.branch.moments
        if moments:
            kept = min(to // STRIDE, len(moments) - 1)
            self.writer.go_to(moments[kept])
            for token in tokens[kept * STRIDE : to]:
                self.writer.feed_token(token.id)
        else:
            self.writer.reset()
        self.at = to
        self.reseed(self.seed)  # the next choice takes the number that is its turn

    def before(self, characters: int) -> int:
        """The last place with at most so many characters before it, at the beginning of a whole character."""
        at = bisect_right(self.branch.tokens, characters, key=_end)
        return bisect_left(self.branch.tokens, self.branch.start(at), key=_end) + 1 if self.branch.start(at) else 0

    def after(self, characters: int) -> int:
        """The first place with at least so many characters before it."""
        return min(bisect_left(self.branch.tokens, characters, key=_end) + 1, len(self)) if characters > 0 else 0

    @property
    def characters(self) -> int:
        """How many there are before the cursor."""
        return self.branch.start(self.at)

    def reseed(self, seed: int) -> None:
        """Choose by the numbers of this seed from here on; the text and the state stay."""
        self.seed = seed
        self.writer.seek(seed, self.branch.tokens[self.at - 1].lots if self.at else 0)

    # ── what is being typed ───────────────────────────────────────────────────

    def draft(self, ids: Sequence[int]) -> None:
        """Read tokens that may still be changed, in place of those of the last draft; they are kept by `settle`."""
        if self._home is None:
            self._home = (self.branch, self.at)
            self.branch = self.branch.beginning(self.branch.name, self.at)
        begun = self.begun
        old = [token.id for token in self.branch.tokens[begun:]]
        same = next((k for k, (a, b) in enumerate(zip(old, ids, strict=False)) if a != b), min(len(old), len(ids)))
        if begun + same < len(self):
            self._place(begun + same)
            del self.branch.tokens[self.at :], self.branch.moments[-(-self.at // STRIDE) :]
        for id in ids[same:]:
            self._add(id, None)

    def settle(self) -> None:
        """Keep what was typed: it goes along the text or on from its end; in the middle of another it is a branch."""
        if self._home is None:
            return
        draft, (self.branch, self.at) = self.branch, self._home
        self._home = None
        for at, token in enumerate(draft.tokens[self.at :], self.at):
            due = at == STRIDE * len(self.branch.moments)
            self._append(token, draft.moments[at // STRIDE] if due else None)

    # ── aside ─────────────────────────────────────────────────────────────────

    def begin_anew(self, seed: int) -> None:
        """An empty text from the zero state; the one that was open stays as it is."""
        self.settle()
        if self.branch.parent or self.branch.tokens or self.branch.moments:
            self._begin(seed, self._free("main"))
        else:
            self.reseed(seed)

    def begin_here(self, name: str) -> None:
        """An empty text from the state that the writer was put into; the one that was open stays as it is.

        Call `settle` before the writer is put there.
        """
        self.branch = Branch(self._free(name), moments=[self.writer.moment()])
        self.branches[self.branch.name] = self.branch
        self.at = 0
        self.reseed(self.seed)

    def keep(self, name: str) -> Branch:
        """Keep the text up to the cursor, and the state there, under a name; the present branch goes on."""
        self.settle()
        kept = self.branch.beginning(self._free(name), self.at)
        self.branches[kept.name] = kept
        return kept

    def fork(self, name: str) -> Branch:
        """Go on from here in a branch of its own; the present one stays as it is."""
        self.branch = self.keep(name)
        return self.branch

    def switch(self, name: str, at: int | None = None) -> Branch:
        """Go to another branch: to where there are `at` tokens before the cursor; None: to its end."""
        self.settle()
        self.branch = self.branches[name]
        self._place(len(self) if at is None else min(max(at, 0), len(self)))
        return self.branch

    def _free(self, name: str) -> str:
        """`name`, or the first of `name 2`, `name 3`, … that is not taken."""
        name = " ".join(name.split())[:40] or "branch"
        taken, number = name, 2
        while taken in self.branches:
            taken, number = f"{name} {number}", number + 1
        return taken

    def _next_name(self) -> str:
        """The first of `branch 1`, `branch 2`, … that is not taken."""
        return next(name for number in count(1) if (name := f"branch {number}") not in self.branches)


def _end(token: Token) -> int:
    return token.end
