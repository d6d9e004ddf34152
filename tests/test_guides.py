"""The guides: each command in them is run, in the order of the page, on small files and for a few steps.

And the site's own checks, on pages made here; `make docs` builds the whole of it.
"""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
SMALL = {
    "train": ["--steps", "5", "--eval-every", "5", "--batch-size", "4", "--hidden", "8"],
    "sweep": ["--steps", "2", "--eval-every", "2", "--batch-size", "4", "--hidden", "8"],
    "novelty": ["--length", "50"],
}
"""Command -> options that go behind it; the last one of several counts."""

LEFT_OUT = ("tuirnn", "tuirnn demo")
"""The dashboard needs a terminal; `make dist` runs the demo."""

BEFORE = {"embed": ["tuirnn train notes.txt --name notes"]}
"""Guide -> what its reader has done before."""

RUN = """
import json, sys
from tuirnn import cli
cli.leave = lambda code: None
for words in json.loads(sys.argv.pop()):
    sys.argv[1:] = words
    code = cli._run()
    print("\\n$ tuirnn", *words, "→", code, flush=True)
    if code:
        raise SystemExit(f"{words} ended with {code}")
"""


def commands(guide: Path) -> list[list[str]]:
    """The lines of a guide that begin with tuirnn, in its order."""
    lines = re.findall(r"^    (tuirnn\b.*)$", guide.read_text(), re.MULTILINE)
    found = [shlex.split(line, comments=True) for line in [*BEFORE.get(guide.stem, []), *lines]]
    words = [each[1:] for each in found if shlex.join(each) not in LEFT_OUT]
    return [[*each, *SMALL.get(each[0], [])] if "--resume" not in each else [*each, "--steps", "8"] for each in words]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_commands_of_a_guide_do_what_it_says(guide: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    if guide.stem == "compare" and not os.environ.get("TUIRNN_LONG"):
        pytest.skip("four trainings in processes of their own; TUIRNN_LONG=1 runs them")
    text = "The quick brown fox jumps over the lazy dog, and the meeting is at noon.\n"
    (tmp_path / "notes.txt").write_text("".join(f"{n} {text}" for n in range(120)))
    (tmp_path / "mail.csv").write_text(
        "text,label\n"
        + "".join(
            f"{word} number {n},{label}\n"
            for n in range(60)
            for word, label in (("buy pills", "spam"), ("lunch", "ham"))
        )
    )
    (tmp_path / "sensors.csv").write_text("time,temperature,pressure\n" + "".join(
        f"2026-01-{1 + n // 24:02d} {n % 24:02d}:00,{20 + n % 24},{1000 + n % 7}\n" for n in range(600)))  # fmt: skip
    (tmp_path / "sales.csv").write_text("date,store,sales\n" + "".join(
        f"2026-{1 + n // 28 % 12:02d}-{1 + n % 28:02d},{store},{n * k % 11}\n"
        for k, store in ((3, "north"), (4, "south")) for n in range(300)))  # fmt: skip
    wanted = commands(guide)
    done = subprocess.run([sys.executable, "-c", RUN, json.dumps(wanted)], cwd=tmp_path, text=True,
                          env={**environment, "TUIRNN_KERNELS": "portable"}, capture_output=True)  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("→ 0") == len(wanted)


@pytest.fixture
def pages() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "pages.py"))


def test_every_page_has_its_place_in_the_navigation(pages: dict[str, Any]) -> None:
    listed = {page for each in pages["NAVIGATION"].values() for page in ([each] if isinstance(each, str) else each)}
    there = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")}
    assert there <= listed


def test_links_that_lead_nowhere_and_foreign_scripts_are_found(
    pages: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pages["broken"].__globals__, "SITE", tmp_path)
    (tmp_path / "a.html").write_text(
        '<h1 id="here">a</h1><a href="#here">1</a><a href="b.html">2</a><a href="#gone">3</a>'
        '<a href="https://example.org/">4</a><script src="https://example.org/a.js"></script>'
    )
    assert list(pages["broken"]()) == [
        "a.html loads https://example.org/a.js",
        "a.html links to b.html, which is not there",
        "a.html links to #gone: no such heading",
    ]


def test_a_link_to_a_folder_becomes_one_to_its_readme(pages: dict[str, Any]) -> None:
    def staged(link: str, page: str = "docs/a.md") -> str:
        return str(pages["LINK"].sub(lambda found: pages["staged"](found, ROOT / page), link))

    assert staged("[x](../export/)") == "[x](../export/README.md)"
    assert staged("[x](../tuirnn/cells/)") == "x"
    assert staged("[x](https://example.org/)") == "[x](https://example.org/)"
