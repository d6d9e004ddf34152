"""Settings of the training."""

from dataclasses import dataclass

from tuirnn.settings.section import Section, option

DEFAULT_STEPS = 5_000
"""Length of a run that names no limit of its own."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """How the weights are found, for how long, and what is kept on the way."""

    batches: str = option(
        "stream",
        "stream: contiguous lanes with carried state (truncated BPTT); random: windows from anywhere; "
        "windows: every window once an epoch, shuffled; lines: windows that begin where a line does, shuffled.",
        choices=("stream", "random", "windows", "lines"),
    )
    batch_size: int = option(32, "Sequences trained side by side.", low=1, high=1_000_000)
    seq_len: int = option(64, "Length of truncated backpropagation through time, in tokens.", low=1, high=1_000_000)
    optimizer: str = option("adamw", "Update rule.", choices=("sgd", "adam", "adamw", "rmsprop"))
    lr: float = option(5e-3, "Peak learning rate.", low=1e-12, high=1e6)
    momentum: float = option(0.0, "Momentum of sgd and rmsprop.", low=0.0, high=0.9999)
    weight_decay: float = option(0.01, "Weight decay of matrices (decoupled in adamw).", low=0.0, high=10.0)
    schedule: str = option("cosine", "Learning rate over the run.", choices=("constant", "step", "cosine"))
    warmup: int = option(50, "Steps of linear warm-up.", low=0, high=10_000_000)
    lr_floor: float = option(0.02, "Cosine ends at this share of the peak rate.", low=0.0, high=1.0)
    lr_step: int = option(1_000, "Steps between two drops of the step schedule.", low=1, high=1_000_000_000)
    lr_factor: float = option(0.5, "Factor by which each drop multiplies the rate.", low=1e-6, high=1.0)
    summed: bool = option(False, "Minimise the sum of the loss over a batch's tokens, not the mean.")
    clip: float = option(1.0, "Largest gradient norm; 0: no clipping.", low=0.0, high=1e9)
    steps: int = option(
        0,
        f"Stop after this many steps; 0: no such limit, but {DEFAULT_STEPS:,} steps if steps, epochs, minutes and "
        "patience are all 0.",
        low=0,
        high=10**12,
    )
    epochs: float = option(
        0.0, "Stop after this many passes over the training split; 0: no such limit.", low=0.0, high=1e9
    )
    minutes: float = option(
        0.0, "Stop after this much wall time, earlier sessions included; 0: no such limit.", low=0.0, high=1e7
    )
    on_nan: str = option(
        "stop",
        "If the loss is not finite: stop; or rollback, return to the last checkpoint and continue at half the rate.",
        choices=("stop", "rollback"),
    )
    patience: int = option(0, "Stop after this many evaluations without a new best; 0: never.", low=0, high=1_000_000)
    eval_every: int = option(500, "Steps between two evaluations; 0: one after each epoch.", low=0, high=10**9)
    eval_share: float = option(
        0.05,
        "Share of the training time that evaluations of a text may take: from a long held-out part they read passages, "
        "the same ones throughout the run; 0: they read all of it.",
        low=0.0,
        high=1.0,
    )
    checkpoint_every: int = option(500, "Steps between two checkpoints.", low=1, high=10**9)
    keep: int = option(3, "Number of newest checkpoints kept, besides the best.", low=1, high=1_000_000)
    token_dropout: float = option(
        0.0, "Share of the tokens that training replaces by the unknown one; not for bytes.", low=0.0, high=0.9
    )
    every_step: bool = option(
        False,
        "Take the loss at every step, not only at a sequence's last. Streams always do, and then forecast with carried "
        "state; otherwise a forecast reads the last --seq-len points from the zero state.",
    )
    class_weights: bool = option(False, "Let every class count the same, however many sequences it has.")
    label_smoothing: float = option(
        0.0,
        "Share of a target's probability that is spread evenly over all classes, against overconfidence.",
        low=0.0,
        high=0.9,
    )
    auxiliary: float = option(
        0.0,
        "Weight of an auxiliary loss in training, the nats of predicting the next symbol; it helps if there are few "
        "sequences.",
        low=0.0,
        high=100.0,
    )
    horizon: int = option(
        200, "Points that each evaluation forecasts, each forecast fed back as input.", low=1, high=100_000
    )
    device: str = option("auto", "Where to compute.", choices=("auto", "cpu", "cuda"))
    processes: int = option(
        1,
        "Processes that share each batch, each on its own GPU or on a part of the CPU's cores; results do not depend "
        "on their number.",
        low=1,
        high=4_096,
    )
    dtype: str = option(
        "float32",
        "Arithmetic of the recurrent layers; tf32: float32 whose products a GPU rounds to 10 bits; auto: bfloat16 if "
        "it is 1.05 times as fast as float32, measured once for these sizes on this machine, else float32.",
        choices=("float32", "tf32", "float64", "bfloat16", "auto"),
    )
    accumulate: int = option(
        1,
        "Number of parts in which a step processes its batch, to save memory; the result is the same.",
        low=1,
        high=1_000_000,
    )
    memory: str = option(
        "save",
        "What a step keeps for its backward pass: save, all gates; recompute, only the states, which takes about "
        "three fifths of the memory and up to a third more arithmetic. The result is the same.",
        choices=("save", "recompute"),
    )
    seed: int = option(0, "Seed of weights, batches, dropout and samples.", low=0, high=2**63 - 1)

    def last_step(self, epoch: int) -> int:
        """The step that the run ends at by its limits; 0 where only time or patience ends it.

        Args:
            epoch: batches in one pass over the training split.
        """
        limits = [self.steps] if self.steps else []
        if self.epochs:
            limits.append(max(1, round(self.epochs * epoch)))
        if not (limits or self.minutes or self.patience):
            return DEFAULT_STEPS
        return min(limits, default=0)
