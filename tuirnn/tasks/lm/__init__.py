"""Language modelling: which token of a text comes next?"""

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuirnn.errors import ConfigError, DataError, nearest, one_line
from tuirnn.figures import Figure, number
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.builtin import DEFAULT
from tuirnn.tasks.task import OF_TOKENS, Held, Interface, OpenCell, Report, Task, TaskData

if TYPE_CHECKING:
    from tuirnn.tasks.lm.prediction import Loss
    from tuirnn.tasks.lm.spelling import Spelling
    from tuirnn.vocab import Vocabulary


BITS = Figure("bits", "bits per character", "bits/char", common=True)
"""Carried loss, unknown symbols charged with their spelling."""


class LanguageModelling(Task):
    """See the module."""

    name = "lm"
    noun = "language model"
    short = "text"
    learns = "the next token of a text"
    does = "writes text"
    source = "a text"
    default_source = DEFAULT
    figures = (
        Figure("loss", "loss, carried", "nats/{token}"),
        Figure("loss_blocks", "loss, blocks", "nats/{token}"),
        BITS,
    )
    loss_in = ("nats", "tokens")
    settings = OF_TOKENS | {
        "allow_leak", "dedupe", "vocab_size", "lines", "split", "split_seed", "tied", "batches", "seq_len",
        "sample_length", "sample_prime", "sample_temperature", "encoding", "eval_share",
    }  # fmt: skip
    writes = True
    python = "TextCell"

    def load(
        self,
        config: DataConfig,
        *,
        vocab: "Vocabulary | None" = None,
        known: Mapping[str, Any] | None = None,
        stdin: Path | None = None,
    ) -> TaskData:
        """See `Task.load`."""
        from tuirnn.tasks.lm import data

        return data.load(config, vocab=vocab, known=known, stdin=stdin)

    def named(self, metadata: Interface) -> TaskData:
        """See `Task.named`; a name that `tuirnn data ls` has, never a path."""
        from tuirnn.tasks import datasets
        from tuirnn.tasks.lm import data

        if not metadata.data:
            raise DataError("the cell file does not name the text that it was trained on; give one with --text FILE")
        if metadata.data not in (known := datasets.dataset_names()):
            raise DataError(
                f"it names '{one_line(metadata.data, 60)}', which is no data set; {nearest(metadata.data, known)}"
            )
        config = DataConfig(sources=(metadata.data,), tokens=metadata.vocab.kind)
        return data.load(config, vocab=metadata.vocab, named=True)

    def plan(self, train: TrainConfig, data: TaskData) -> dict[str, Any]:
        """How many tokens of the held-out part evaluations read."""
        from tuirnn.tasks.lm.data import TextData

        assert isinstance(data, TextData)
        return {"evaluated": data.read_by_evaluations(train)}

    def scale(self, data: DataConfig, summary: Mapping[str, Any], symbols: int) -> Hashable:
        """Words are unknown, or subwords other ones, by the vocabulary's size; and passages are not all of a text."""
        known = str(symbols) if data.tokens in ("word", "bpe") else None
        evaluated = summary.get("evaluated", summary.get("val"))
        return known if evaluated == summary.get("val") else (known, str(evaluated))

    def told(self, values: Mapping[str, float], unit: str) -> str:
        """Both protocols, and bits per character."""
        losses = f"{number(values['val_loss'], 4)} carried, {number(values['val_loss_blocks'], 4)} blocks {unit}"
        bits = values.get(BITS.key, math.nan)
        return losses + f", {number(bits)} {BITS.unit}" * math.isfinite(bits)

    def hint(self, model: str) -> str:
        """See `Task.hint`."""
        return f'generate {model} --prime "…"'

    def weigh(self, cell: OpenCell, data: TaskData) -> tuple[float, int]:
        """See `Task.weigh`."""
        from tuirnn.tasks.lm.data import TextData
        from tuirnn.tasks.lm.prediction import in_lanes

        assert isinstance(data, TextData)
        loss = in_lanes(cell, data.val)
        return loss.nats, loss.tokens

    def evaluate(self, cell: OpenCell, held: Held) -> Report:
        """Loss under both protocols, on a given text, or on the validation split and the test split if there is one."""
        from tuirnn.tasks.lm.corpus.parts import locate
        from tuirnn.tasks.lm.data import TextData, spelled, text_corpus
        from tuirnn.tasks.lm.prediction import BLOCK, WARM_UP, evaluate
        from tuirnn.tasks.texts import unknown_note

        kind = self.counted(cell.metadata.vocab.kind)
        notes: tuple[str, ...] = ()
        test = None
        spelling: Spelling | None
        if held.given is not None:
            parts = locate((held.given,))  # once: it may be a pipe
            corpus = text_corpus(held.given, cell.metadata.vocab, held.reading.encoding, parts)
            ids, what = corpus.ids, one_line(held.given)
            notes = (*corpus.notes, *unknown_note(corpus.unknown, len(ids)))
            spelling = spelled(corpus.vocab, ids, parts, held.reading.encoding)
        else:
            data = held.data()
            assert isinstance(data, TextData)
            ids, what = data.val, "its validation split" + " (leaky: trained on as well)" * held.leaky
            spelling = data.spelling
            test = data.test if len(data.test) > 1 else None
        loss = evaluate(cell, ids)
        values: dict[str, Any] = loss.to_json()
        lines = [f"{cell.name} on {what}, {loss.tokens:,} {kind}", *_protocols(loss)]
        if loss.lanes > 1:
            notes = (*notes, f"carried: {loss.lanes} lanes, each after the {WARM_UP} tokens before its own")
        if loss.tokens_blocks < loss.tokens - BLOCK:
            notes = (*notes, f"blocks: {loss.tokens_blocks:,} tokens, in blocks spread evenly over the text")
        if spelling is not None:
            values |= {"bits_per_character": spelling.bits(loss.carried), "unknown_share": spelling.share}
            lines.append(f"{'bits per character, carried':<34} {'':>8} {number(values['bits_per_character'], 4):>8}")
            lines += [spelling.told] * bool(spelling.told)
        if test is not None:
            loss = evaluate(cell, test)
            values["test"] = loss.to_json()
            lines += [f"on its test split, {loss.tokens:,} {kind}", *_protocols(loss)]
        told = {"text": held.given or "validation split", **values, "leaky": held.leaky}
        return Report(told, lines, list(notes))

    def predict(self, cell: OpenCell, text: str) -> Report:
        """A language model answers with text of its own."""
        raise ConfigError(
            f"{cell.name} is a {self.noun}, not a classifier; let it write with 'tuirnn generate {cell.name}'"
        )


def _protocols(loss: "Loss") -> list[str]:
    """A table of a text's loss under both protocols."""
    values = loss.to_json()
    carried = "carried (one pass)" if loss.lanes == 1 else f"carried ({loss.lanes} lanes)"
    lines = [f"{'protocol':<34} {'nats':>8} {'bits':>8} {'perplexity':>11}"]
    for label, suffix in ((carried, ""), ("blocks (256, from zero state)", "_blocks")):
        nats, bits, perplexity = (number(values[key + suffix], 4) for key in ("nats", "bits", "perplexity"))
        lines.append(f"{label:<34} {nats:>8} {bits:>8} {perplexity:>11}")
    return lines


TASK = LanguageModelling()
