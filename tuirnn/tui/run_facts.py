"""What is known about a run besides its curve, in words."""

from textual.content import Content

from tuirnn import tasks, text
from tuirnn.runs.listing import RunSummary


def describe(run: RunSummary) -> Content:
    """Size, settings, start and best result of a run; of a damaged one what is wrong."""
    record, status = run.record, run.status
    if record is None:
        return Content.styled(text.visible_line(run.problem), "$text-error")
    train, task = record.config.train, record.config.task
    there, noun = record.data.get("train"), task.counted(record.vocab.kind)
    size = f" of {text.short(there)} {noun}" if isinstance(there, int) else ""
    length = f" × {train.seq_len}" if tasks.reads(task, "seq_len") else ""
    facts = [
        f"{text.short(record.parameters)} parameters",
        f"batch {train.batch_size}{length}{size}",
        f"{train.optimizer} {text.rate(train.lr)} {train.schedule}",
        f"started {text.clock(record.created)}",
    ]
    if status.live and status.eta:
        facts.append(f"{text.duration(status.eta)} left")
    if status.best_step:
        best = f"{text.held_out(status.best_val_loss, run.leaky)} {run.judgement.loss.unit}"
        facts.append(f"best {best} at step {text.count(status.best_step)}")
    lines = [Content(" · ".join(facts))]
    if run.notes.tags or run.notes.note:
        tags = " ".join(f"#{tag}" for tag in run.notes.tags)
        lines.append(Content.assemble((tags, "bold $accent"), "  " if tags else "", run.notes.note))
    if status.message:
        lines.append(Content.styled(status.message, "$text-warning"))
    return Content("\n").join(lines)
