"""What holds now, written from the figures in docs/results/*.json: `python docs/results.py` renews docs/results.md.

A file of docs/results/ is one table, or a list of tables:

    {"title": …, "processor": …, "date": …, "commit": …, "command": …, "columns": […], "rows": [[…], …], "note": …}

The processor is a key of PROCESSORS. A row begins with what was measured; figures are numbers, or texts where they
have a range or a unit of their own. Tables are grouped by processor and stand in the order of their files' names.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_suffix("")
PAGE = Path(__file__).with_suffix(".md")
KEYS = {"title", "processor", "date", "commit", "command", "columns", "rows", "note"}

PROCESSORS = {
    "zen5-2": "Two cores of an AMD EPYC (Zen 5, AVX-512) in a virtual machine, torch 2.13.0+cpu",
    "epyc-2": 'Two cores of an "AMD EPYC" (AVX-512, AVX512_BF16; the model is not shown) in a virtual machine',
    "zen4-2": "Two cores of an AMD EPYC (family 25, model 17: Zen 4; AVX-512, AVX512_BF16) in a virtual machine",
    "xeon-2": "Two cores of an Intel Xeon with AMX (AMX, AVX512_BF16, AVX-512) in a virtual machine",
    "any": "Any processor: counts, bytes and errors",
}
"""Key -> heading, in the order of the page."""

HEAD = """# Results

Current results, by processor; each table names its date, its commit and the command that produced it. Written by
`python docs/results.py` from `docs/results/*.json`; a test compares the two. The [notebook](notebook.md) has earlier
figures, and what was tried and failed.

*Carried*: one pass over the held-out text, the hidden state carried through all of it. *Blocks*: independent blocks of
256 characters, each from the zero state. *nats*: cross-entropy with natural logarithm; 1 nat is 1.443 bits. No GPU was
available: the targets for CUDA, and the command that measures them, are in the [notebook](notebook.md#open).
"""


def tables() -> Iterator[dict[str, Any]]:
    """All tables, in the order of their files."""
    for path in sorted(FOLDER.glob("*.json")):
        body = json.loads(path.read_text(encoding="utf-8"))
        for table in body if isinstance(body, list) else [body]:
            if unknown := table.keys() - KEYS or (KEYS - {"note"}) - table.keys():
                raise SystemExit(f"{path.name}: {sorted(unknown)} is unknown, or missing, in '{table.get('title')}'")
            yield table


def page() -> str:
    """The whole page."""
    found = list(tables())
    parts = [HEAD]
    for key, heading in PROCESSORS.items():
        own = [table for table in found if table["processor"] == key]
        parts += [f"## {heading}\n", *map(section, own)] if own else []
    return "\n".join(parts)


def section(table: dict[str, Any]) -> str:
    """A table with its heading and where its figures come from."""
    columns, rows = table["columns"], table["rows"]
    if wrong := [row for row in rows if len(row) != len(columns)]:
        raise SystemExit(f"'{table['title']}': {wrong[0]} has not {len(columns)} fields")
    lines = [line(columns), "|" + "---|" * len(columns), *map(line, rows)]
    commit = f", commit {table['commit']}" if table["commit"] else ""
    source = f"{table['date']}{commit}: {table['command']}"
    note = f"\n{table['note']}\n" if table.get("note") else ""
    return f"### {table['title']}\n\n{source}\n\n" + "\n".join(lines) + "\n" + note


def line(fields: list[Any]) -> str:
    """A row; numbers with commas between thousands."""
    return "| " + " | ".join(f"{field:,}" if isinstance(field, int) else str(field) for field in fields) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
