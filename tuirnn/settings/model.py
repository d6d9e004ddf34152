"""Settings of the network."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from tuirnn import variants
from tuirnn.cells import CELLS, Cell, find_cell
from tuirnn.errors import ConfigError
from tuirnn.settings.section import Section, option


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """The network: embedding -> stack of recurrent layers -> head."""

    cell: str = option("lstm", "Recurrent cell.", choices=tuple(CELLS))
    hidden: int = option(384, "Hidden units in each layer.", low=1, high=65_536)
    layers: int = option(1, "Recurrent layers.", low=1, high=256)
    embed: int = option(
        128, "Width of the learned embedding; 0 feeds one-hot vectors. A series has none.", low=0, high=65_536
    )
    residual: bool = option(False, "Add each layer's input to its output, from the second layer on.")
    projection: int = option(0, "Width of a linear layer between the stack and the head; 0: none.", low=0, high=65_536)
    tied: bool = option(False, "The head shares the embedding's weights.")
    nonlinearity: str = option(
        "tanh",
        f"Activation of the vanilla RNN, another way to name the cell: {variants.meaning('nonlinearity')}.",
        choices=variants.choices("nonlinearity"),
    )
    reset: str = option(
        "after",
        "Where the GRU applies its reset gate, before the recurrent product (Cho 2014) or after it (cuDNN), another "
        f"way to name the cell: {variants.meaning('reset')}.",
        choices=variants.choices("reset"),
    )
    pooling: str = option(
        "last",
        "What the head reads: last, the hidden state of the last step; last+max, also each unit's largest value over "
        "all steps so far, so that the beginning of a long sequence is not forgotten.",
        choices=("last", "last+max"),
    )
    dropout: float = option(0.2, "Dropout between layers and before the head.", low=0.0, high=0.95)
    weight_dropout: float = option(
        0.0, "Dropout of the recurrent weights in training, one mask per batch.", low=0.0, high=0.95
    )
    forget_bias: float = option(
        1.0, f"Initial bias of the forget gate of {', '.join(variants.readers('forget_bias'))}.", low=-10.0, high=10.0
    )
    init_std: float = option(
        0.0, "Standard deviation of initial weights; 0: uniform within ±1/√hidden, like torch.nn.", low=0.0, high=10.0
    )

    @property
    def recurrent(self) -> Cell:
        """The definition of the cell and its variant."""
        return find_cell(self.cell, **{name: getattr(self, name) for name in variants.OPTIONS})

    @property
    def pools(self) -> bool:
        """Whether the head reads each unit's largest value as well."""
        return self.pooling != "last"

    @property
    def top(self) -> int:
        """Width of what the projection, or the head, reads of the stack."""
        return self.hidden * (1 + self.pools)

    @property
    def unread(self) -> frozenset[str]:
        """The settings that this cell does not read; files may hold any value of them."""
        cell = self.recurrent
        return frozenset(spec.name for spec in fields(self) if not variants.reads(cell, spec.name))

    def check_given(self, given: Mapping[str, Any]) -> None:
        """Refuse settings that were given on purpose and have no effect; see `variants.check_given`."""
        variants.check_given(self.recurrent, given)

    def of_cell(self, cell: Cell) -> "ModelConfig":
        """The same network of another cell."""
        return dataclasses.replace(self, **cast(dict[str, Any], cell.settings))

    def check(self) -> None:
        """A variant's name becomes its family and option, as files have them; tied weights need equal widths."""
        if CELLS[self.cell].option and self.cell != CELLS[self.cell].family:
            for name, value in CELLS[self.cell].settings.items():
                object.__setattr__(self, name, value)
        top = self.projection or self.top
        if self.tied and self.embed != top:
            raise ConfigError(
                f"--tied needs --embed equal to the head's input width {top}, not {self.embed}; set --embed {top}"
            )
