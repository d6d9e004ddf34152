"""A trained network at work, whatever its task: it reads one token or point at a time and keeps its state."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import ConfigError, DataError, one_line
from tuirnn.files import atomic_write, read_bounded
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.task import OpenCell, Task
from tuirnn.vocab import Vocabulary

Array = npt.NDArray[np.float32]
State = dict[str, npt.NDArray[Any]]
"""Where a network is: the parts of its hidden state, such as 'h' and 'c', each [layers, 1, hidden], and 'answer', its
last outputs [1, ·]; of bytes also 'undecoded', the bytes of a character that is not whole yet."""

MAX_STATE_BYTES = 1 << 30


class Cell:
    """A trained network of any task, and the state in which its last step has left it.

    Args:
        name: the run or file, for messages.
        trusted: the cell file.
        session: of one sequence.
        ready: the same cell as its task runs it.
        home: the model as the user named it, and the folder of runs.

    Attributes:
        metadata: what the cell file says of itself.
    """

    def __init__(
        self, name: str, trusted: TrustedCell, session: CellSession, ready: OpenCell, home: tuple[str, Path]
    ) -> None:
        self.name, self.metadata, self._trusted = name, session.metadata, trusted
        self._session, self._ready, self._home = session, ready, home

    def __repr__(self) -> str:
        meta = self.metadata
        return f"<{type(self).__name__} {self.name}: {meta.definition.name.upper()} {meta.hidden}×{meta.layers}>"

    @property
    def task(self) -> str:
        """The name of what it has learned."""
        return self._task.name

    @property
    def _task(self) -> Task:
        return self.metadata.learned

    @property
    def vocab(self) -> Vocabulary:
        """What its tokens stand for; empty where it reads numbers."""
        return self.metadata.vocab

    def step(self, fed: "int | str | Sequence[float] | npt.NDArray[Any]") -> Array:
        """Read one token or point and carry the state on.

        Args:
            fed: a token's id, or a text, all of whose tokens are read; a point [F] in the data's own units.
        Returns:
            Its answer, float32: logits of the next token [V] or of the classes, or the next point [F].
        Raises:
            ConfigError: an empty text, no such token, or a point of another width.
        """
        if isinstance(fed, str):
            if not len(tokens := self.vocab.encode(fed)):
                raise ConfigError("an empty text has no token to read; give at least one")
            return [self.step(int(token)) for token in tokens][-1]
        width = len(self.vocab) or self._session.token.shape[-1]
        if self.metadata.learned.points:
            if np.shape(fed) != (width,):
                raise ConfigError(f"{self.name} reads points of {width} numbers, not of shape {np.shape(fed)}")
        elif not isinstance(fed, (int, np.integer)) or not 0 <= fed < width:
            raise ConfigError(f"{self.name} reads tokens from 0 to {width - 1}, not {one_line(fed, 40)}")
        return self._feed(fed)

    def _feed(self, fed: Any) -> Array:
        return np.array(self._session.step(fed)[0], copy=True)

    def reset(self) -> None:
        """Go back to the state before the first step: zeros."""
        self._session.reset()
        self._session.logits[:] = 0

    @property
    def state(self) -> State:
        """Copies of where the network is, to set again or to keep with `save_state`."""
        return self._state()

    @state.setter
    def state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        forms, wanted = ({name: np.shape(part) for name, part in each.items()} for each in (state, self._state()))
        if forms != wanted:
            raise ConfigError(f"{self.name} has a state of {_forms(wanted)}, not of {_forms(forms)}")
        self._go_to(state)

    @property
    def _parts(self) -> tuple[str, ...]:
        """The names of the parts of its state."""
        return tuple(name.removesuffix("_in") for name in self.metadata.state_map.values())

    def _state(self) -> State:
        parts = dict(zip(self._parts, self._session.snapshot(), strict=True))
        return {**parts, "answer": np.array(self._session.logits, copy=True)}

    def _go_to(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self._session.restore(tuple(state[name].astype(np.float32) for name in self._parts))
        self._session.logits[:] = state["answer"]

    def save_state(self, path: str | Path) -> None:
        """Write the state to a file (safetensors), for `load_state`, today or another day.

        Raises:
            DataError: the file cannot be written.
        """
        from safetensors.numpy import save

        about = {"cell": self.metadata.definition.name, "task": self.task}
        try:
            atomic_write(Path(path), save({name: np.ascontiguousarray(v) for name, v in self.state.items()}, about))
        except OSError as error:
            raise DataError(f"cannot write {one_line(path)}: {error.strerror}; name another file") from None

    def load_state(self, path: str | Path) -> None:
        """Go to the state in a file of `save_state`; the same steps then give the same.

        Raises:
            DataError: no such file, or none of a state.
            ConfigError: the state of a network of another shape.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            self.state = load(read_bounded(Path(path), MAX_STATE_BYTES, DataError, follow_links=True))
        except (SafetensorError, TypeError, ValueError, KeyError) as error:
            raise DataError(f"{one_line(path)} holds no state of a network: {one_line(error, 100)}") from None

    def predict(self, text: str) -> Any:
        """What `tuirnn predict --json` says of a text; the state is left as it is."""
        return self._task.predict(self._ready, text).values


def _forms(forms: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{one_line(name, 20)} {list(shape)}" for name, shape in sorted(forms.items()))
