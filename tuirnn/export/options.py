"""The form of a cell file: precision, versions, batch axis, sampler, steps per call."""

from dataclasses import dataclass, field

from tuirnn.cellfile.card import Card
from tuirnn.cellfile.start import MAX_PRIME
from tuirnn.errors import ConfigError, chosen
from tuirnn.export.precision import PRECISIONS

DEFAULT_OPSET = 13

IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}
"""Opset -> the IR version of the ONNX release that introduced it."""

MAX_UNROLL = 256


@dataclass(frozen=True)
class CellOptions:
    """The form of a cell file.

    Attributes:
        precision: a key of `PRECISIONS`.
        opset: a key of `IR_VERSIONS`; None: the oldest from 13 on that has the required operators.
        ir: IR version; None: that of the opset's release.
        static_batch: fixed size of the batch axis; None: dynamic.
        sampler: whether the graph also chooses the next token.
        unroll: steps per call; more than one includes the sampler.
        prime: text that has been read where a text begins; None: nothing.
        card: what its maker says of it.
        block: inputs per call that are known beforehand, with the outputs of each; None: a single step.
    """

    precision: str = "fp32"
    opset: int | None = None
    ir: int | None = None
    static_batch: int | None = None
    sampler: bool = False
    unroll: int = 1
    block: int | None = None
    prime: str | None = None
    card: Card = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", chosen("--precision", self.precision, PRECISIONS))
        needed, opset = PRECISIONS[self.precision].opset, self.opset_version
        if opset not in IR_VERSIONS:
            raise ConfigError(f"--opset {opset} is unknown; choose from {min(IR_VERSIONS)} to {max(IR_VERSIONS)}")
        if opset < needed:
            raise ConfigError(f"--precision {self.precision} needs --opset {needed} or later, not {opset}")
        least = IR_VERSIONS[opset] if self.precision == "int4" else IR_VERSIONS[DEFAULT_OPSET]
        if self.ir is not None and not least <= self.ir <= max(IR_VERSIONS.values()):
            raise ConfigError(f"--ir must be from {least} to {max(IR_VERSIONS.values())} here, not {self.ir}")
        if self.static_batch is not None and not 1 <= self.static_batch <= 65_536:
            raise ConfigError(f"--static-batch must be from 1 to 65536, not {self.static_batch}")
        if not 1 <= self.unroll <= MAX_UNROLL:
            raise ConfigError(f"--unroll must be from 1 to {MAX_UNROLL}, not {self.unroll}")
        if self.prime is not None and not 1 <= len(self.prime) <= MAX_PRIME:
            raise ConfigError(f"--prime takes a text of 1 to {MAX_PRIME:,} characters, not of {len(self.prime):,}")
        if self.block is not None:
            if not 2 <= self.block <= MAX_UNROLL:
                raise ConfigError(f"--block must be from 2 to {MAX_UNROLL}, not {self.block}")
            if self.samples:
                raise ConfigError(
                    "--block reads inputs that are known; --with-sampler and --unroll choose them: leave one out"
                )

    @property
    def opset_version(self) -> int:
        """The opset of the file."""
        return max(DEFAULT_OPSET, PRECISIONS[self.precision].opset) if self.opset is None else self.opset

    @property
    def ir_version(self) -> int:
        """The IR version of the file."""
        return self.ir or IR_VERSIONS[self.opset_version]

    @property
    def steps(self) -> int:
        """Steps in one call."""
        return self.block or self.unroll

    @property
    def samples(self) -> bool:
        """Whether the graph chooses the next token."""
        return self.sampler or self.unroll > 1
