"""Everything that needs a GPU to be measured, in one call of a few minutes: correctness, speed, a training.

    make bench-gpu DATA=shakespeare.txt
    python benchmarks/gpu.py --data shakespeare.txt --out gpu.json     # in a bare checkout
    python benchmarks/gpu.py --device cpu --smoke                      # the same with small sizes, without a GPU

Beside torch and triton it needs numpy, safetensors, filelock, orjson and platformdirs, and no other package.

Each part runs in processes of its own with a time limit, so that one that crashes, or hangs at a barrier, costs only
its own figures; the parts whose seconds do not matter run side by side. Each row is written down once it is known.
The results are appended to docs/notebook.md with device, date and commit; --no-write prints them alone.
"""

import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "docs" / "notebook.md"

from gpu_checks import BOUNDS  # noqa: E402
from gpu_common import Row, one_line  # noqa: E402
from gpu_parts import PARTS  # noqa: E402
from gpu_timings import BAR_LOSS, BAR_RATE  # noqa: E402

Child = subprocess.Popen[bytes]


def start_part(name: str, options: argparse.Namespace, folder: Path) -> tuple[list[Path], list[Child]]:
    """(logs, processes) of a part, each process with its share of the rows and a log of its own."""
    part = PARTS[name]
    logs, children = [folder / f"{name}-{share}.jsonl" for share in range(part.shares)], []
    for share, log in enumerate(logs):
        command = [sys.executable, str(Path(__file__).resolve()), "--device", options.device, "--part", name,
                   "--share", str(share), "--shares", str(part.shares), "--out", str(log)]  # fmt: skip
        command += ["--data", str(options.data)] if options.data else []
        children.append(subprocess.Popen([*command, *(["--smoke"] if options.smoke else [])], cwd=ROOT))
    return logs, children


def end_part(logs: list[Path], children: list[Child], began: float, limit: float) -> tuple[list[Row], str]:
    """(rows, failure) of a part that was started at `began`; its processes may have crashed or been stopped."""
    failure = ""
    for child in children:
        try:
            child.wait(max(1.0, limit - (time.perf_counter() - began)))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            failure = f"stopped after {time.perf_counter() - began:.0f} s"
        if child.returncode and not failure:
            failure = f"ended with {child.returncode}"
    lines = [line for log in logs if log.exists() for line in log.read_text().splitlines()]
    return [json.loads(line) for line in lines], failure


def run_parts(names: list[str], options: argparse.Namespace, end: float) -> Iterator[tuple[str, Row]]:
    """Each part's rows, failure and seconds: those whose times do not matter side by side, then the others in turn."""
    side_by_side = [name for name in names if not PARTS[name].timed]
    groups = [side_by_side, *([name] for name in names if PARTS[name].timed)]
    with tempfile.TemporaryDirectory() as folder:
        for group in filter(None, groups):
            began = time.perf_counter()
            started = {name: start_part(name, options, Path(folder)) for name in group}
            for name, (logs, children) in started.items():
                limit = min(PARTS[name].limit, end - began)
                rows, failure = end_part(logs, children, began, limit)
                yield name, {"rows": rows, "failure": failure, "seconds": time.perf_counter() - began}


def write_rows(name: str, options: argparse.Namespace, path: Path) -> list[Row]:
    """Run a part here; each row is in the file as soon as it is known, the fault that ends it too."""
    rows: list[Row] = []
    with open(path, "a") as file:
        try:
            for row in PARTS[name].rows(options):
                rows.append(row)
                print(json.dumps(row), file=file, flush=True)
        except Exception as failure:
            rows.append({"ok": False, "failure": one_line(failure)})
            print(json.dumps(rows[-1]), file=file, flush=True)
    return rows


def smoke_parts(names: list[str], options: argparse.Namespace) -> Iterator[tuple[str, Row]]:
    """As `run_parts`, in this process."""
    for name in names:
        began = time.perf_counter()
        rows = write_rows(name, options, Path(os.devnull))
        yield name, {"rows": rows, "failure": "", "seconds": time.perf_counter() - began}


def device_name(options: argparse.Namespace) -> str:
    """What the figures hold for."""
    import torch

    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, smoke test"
    with contextlib.suppress(ImportError):
        import triton

        name += f", Triton {triton.__version__}"
    cudnn = torch.backends.cudnn.version() if options.device == "cuda" else None
    return f"{name}, torch {torch.__version__}" + (f", cuDNN {cudnn}" if cudnn else "")


def table(titles: list[str], body: list[list[str]]) -> list[str]:
    """Markdown."""
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in body), ""]


def report(found: dict[str, Row]) -> list[str]:
    """The results as Markdown: what failed first, then the figures."""
    lines: list[str] = []
    for name, part in found.items():
        rows, bad = part["rows"], [row for row in part["rows"] if row.get("failure")]
        if part["failure"]:
            lines.append(f"- `{name}` {part['failure']}; {len(rows)} rows before that")
        lines += [f"- `{name}` {json.dumps({k: v for k, v in row.items() if k != 'ok'})}" for row in bad[:8]]
        lines += [f"- `{name}`: not all kernels run here: {row['missing']}" for row in rows if row.get("missing")]
    lines += [""] if lines else []

    for name in ("correctness", "layer_gradients"):
        rows = [row for row in found.get(name, {"rows": []})["rows"] if "error" in row]
        body = []
        for operands in BOUNDS:
            some = [row for row in rows if row["operands"] == operands]
            if some:
                wrong = [row for row in some if not row["ok"]]
                worst = max(row["error"] for row in some)
                body.append([operands, str(len(some)), f"{worst:.1e}", f"{BOUNDS[operands]:.0e}",
                             "none" if not wrong else json.dumps(wrong[:3])])  # fmt: skip
        if body:
            lines += table([f"{name}: operands", "checks", "worst relative error", "bound", "beyond it"], body)
    body = [[row["cell"], str(row["steps"]), f"{row['difference']:.1e}", "; ".join(row["notes"])]
            for row in found.get("graphed", {"rows": []})["rows"] if "difference" in row]  # fmt: skip
    if body:
        lines += table(["captured against plain training", "steps", "largest difference of a loss", "notes"], body)
    rows = [row for row in found.get("layers", {"rows": []})["rows"] if "ratio" in row]
    if rows:
        names = ["ours", "ours, graph", "torch", "torch, graph"]
        body = [[f"{row['cell']} {row['operands']}", f"{row['B']}×{row['T']}×{row['H']}",
                 *(f"{row['ms'][name]:.2f}" if name in row["ms"] else "–" for name in names),
                 f"{'**' if row['ok'] else ''}{row['ratio']:.2f}×{'**' if row['ok'] else ''}"]
                for row in sorted(rows, key=lambda row: [row[k] for k in ("cell", "operands", "B", "H")])]  # fmt: skip
        lines += table(
            ["layer, forward and backward, ms", "batch × length × hidden", *names, "best against best"], body
        )
    body = [[f"{row['cell']} {row['operands']}", "yes" if row["graph"] else "no", f"{row['rate']:,.0f}"]
            for row in found.get("step", {"rows": []})["rows"] if "rate" in row]  # fmt: skip
    if body:
        lines += table([f"`tuirnn train`, 2×512, batch 256 (bar {BAR_RATE:,})", "graph", "characters/s"], body)
    body = [["best" if row.get("best") else f"≤ {BAR_LOSS}" if row["reached"] else "not reached",
             f"{row['seconds']:.1f} s", f"{row['step']:,}", f"{row['carried']:.4f}", f"{row['blocks']:.4f}"]
            for row in found.get("shakespeare", {"rows": []})["rows"] if "blocks" in row]  # fmt: skip
    if body:
        lines += table(["`--recipe shakespeare-gpu`", "after", "step", "carried", "blocks"], body)
    return lines


def commit() -> str:
    """What was measured."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return git.stdout.strip() or os.environ.get("TUIRNN_COMMIT", "unknown")


def append(result: Row) -> None:
    """Put the results at the end of the CUDA section of docs/notebook.md."""
    lines = report(result["parts"])
    head = [f"### {result['device']}", "", f"{result['date']}, commit {result['commit']}, `make bench-gpu`:", ""]
    before, mark, after = RESULTS.read_text().partition("\n## CUDA\n")
    own, border, rest = after.partition("\n## ")
    if not mark:
        before, mark, own = before.rstrip("\n") + "\n", "\n## CUDA\n", ""
    RESULTS.write_text(before + mark + own.rstrip("\n") + "\n\n" + "\n".join([*head, *lines]) + border + rest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--smoke", action="store_true", help="small sizes, in one process, nothing written down")
    parser.add_argument("--data", type=Path, help="a copy of tiny Shakespeare; none: the data set's cache")
    parser.add_argument("--out", type=Path, help="also write everything as JSON")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts together")
    parser.add_argument("--no-write", action="store_true", help="leave docs/notebook.md as it is")
    parser.add_argument(
        "--append", type=Path, metavar="FILE", help="put what --out wrote elsewhere into docs/notebook.md"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only these; docs/notebook.md stays as it is")
    parser.add_argument("--share", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--shares", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data is not None:
        options.data = options.data.resolve()
    if options.shares:  # one of our own processes
        write_rows(options.part[0], options, options.out)
        return
    if options.append is not None:
        append(json.loads(options.append.read_text()))
        return
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU here; --device cpu --smoke runs every part with small sizes")
    found = dict[str, Row]()
    result: Row = {
        "device": device_name(options),
        "date": str(datetime.date.today()),
        "commit": commit(),
        "parts": found,
    }
    names = options.part or [name for name in PARTS if options.device == "cuda" or name != "compile_ahead"]
    end = time.perf_counter() + 60 * options.minutes
    for name, part in smoke_parts(names, options) if options.smoke else run_parts(names, options, end):
        found[name] = part
        bad = sum(row.get("ok") is False for row in part["rows"])
        print(f"{name}: {len(part['rows'])} rows, {bad} beyond their bar, {part['seconds']:.1f} s {part['failure']}")
        sys.stdout.flush()
        if options.out:
            options.out.write_text(json.dumps(result, indent=1))
    print("\n".join([f"\n{result['device']}", "", *report(found)]), flush=True)
    if options.device == "cuda" and not options.no_write and not options.part:
        append(result)
    if options.smoke and any("failure" in row for part in found.values() for row in part["rows"]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
