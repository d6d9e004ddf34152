"""The documents as a site: `make docs` writes build/site, strictly, and checks every link in it.

The pages keep their places: the README is the first, docs/, export/ and checkpoints/ follow. What a page links to and
is no page (source, pictures) is copied beside it. The page of the cells is made here, its equations as MathML, so that
no script has to draw them. Nothing in the site asks another server for anything; a link that would is an error.
"""

import json
import logging
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

from tuirnn.cells import CELLS

ROOT = Path(__file__).resolve().parents[1]
STAGE, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"

NAVIGATION: dict[str, list[str] | str] = {
    "tuirnn": "README.md",
    "Begin": ["docs/guides/tour.md", "docs/guides/play.md", "docs/features.md"],
    "Train": ["docs/guides/text.md", "docs/guides/labels.md", "docs/guides/series.md", "docs/classification.md",
              "docs/tagging.md", "docs/guides/compare.md", "docs/corpora.md", "docs/sweeps.md",
              "docs/several-machines.md", "docs/scaling.md", "docs/cuda.md"],
    "Embed": ["docs/guides/embed.md", "export/README.md", "export/examples/README.md"],
    "Cells": ["docs/learn/README.md", "docs/cells.md", *(f"docs/learn/{name}.md" for name in (
        *CELLS, "experiments", "your-own-cell", "your-own-task"))],
    "Reference": ["docs/commands.md", "docs/python.md", "checkpoints/README.md", "docs/glossary.md", "CHANGELOG.md"],
    "Results": ["docs/results.md", "docs/race.md", "docs/notebook.md"],
    "Inside": ["docs/architecture.md", "docs/decisions.md", "docs/dependencies.md", "docs/durability.md",
               "docs/threat-model.md", "CONTRIBUTING.md", "SECURITY.md"],
}  # fmt: skip
"""Heading -> pages; a page that is not there is left out."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def stage() -> None:
    """Copy the pages and what they link to; a link to a folder becomes one to its README, or its words alone."""
    shutil.rmtree(STAGE, ignore_errors=True)
    pages = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    pages += [path for folder in ("docs", "export", "checkpoints") for path in sorted((ROOT / folder).rglob("*.md"))]
    for page in (page for page in pages if "node_modules" not in page.parts):
        target = STAGE / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(LINK.sub(lambda found, page=page: staged(found, page), page.read_text(encoding="utf-8")))
    (STAGE / "docs" / "cells.md").write_text(cells(), encoding="utf-8")


def staged(found: "re.Match[str]", page: Path) -> str:
    """A link of a page as the site has it; copies the file that it names."""
    picture, words, address = found.groups()
    name = urldefrag(address).url
    if not name or re.match(r"[a-z]+:", name):
        return found[0]
    path = (page.parent / name).resolve()
    if path.is_dir():
        readme = path / "README.md"
        return f"{picture}[{words}]({name.rstrip('/')}/README.md)" if readme.exists() else words
    if path.suffix != ".md" and path.is_file() and path.is_relative_to(ROOT):
        target = STAGE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return found[0]


def cells() -> str:
    """The page of all cells: where each comes from, its gates, its equations forward and backward."""
    from latex2mathml.converter import convert

    from tuirnn.cells import CELLS
    from tuirnn.codegen.equations import equations

    parts = ["# Equations of all cells\n", "Made from the definitions that kernels, export and tests use.\n"]
    for cell in CELLS.values():
        made = equations(cell)
        gates = ", ".join(f"{gate} {word}" for gate, word in cell.words.items())
        parts.append(f"## {cell.name}\n\n{cell.paper} ({cell.year}). Gates: {gates or 'none'}.\n")
        for title, latex in (("Forward", made.latex.forward), ("Backward", made.latex.backward)):
            lines = latex.removeprefix(r"\begin{aligned}").removesuffix(r"\end{aligned}").split(r"\\")
            shown = "".join(f"<div>{convert(line.replace('&', '').strip())}</div>" for line in lines)
            parts.append(f"**{title}**\n\n<div>{shown}</div>\n")
    return "\n".join(parts)


def configuration() -> dict[str, Any]:
    """Of MkDocs; no font and no script from elsewhere."""

    def there(pages: list[str]) -> list[str]:
        return [page for page in pages if (STAGE / page).exists()]

    return {
        "site_name": "tuirnn", "docs_dir": str(STAGE), "site_dir": str(SITE), "strict": True,
        "use_directory_urls": False,
        "theme": {"name": "material", "font": False, "palette": [
            {"media": "(prefers-color-scheme: light)", "scheme": "default", "primary": "blue grey"},
            {"media": "(prefers-color-scheme: dark)", "scheme": "slate", "primary": "blue grey"}]},
        "extra": {"generator": False}, "plugins": ["search"],
        "validation": {"links": {"anchors": "warn", "unrecognized_links": "warn"}},
        "markdown_extensions": ["tables", "fenced_code", "attr_list", {"toc": {"permalink": True}}],
        "nav": [{title: pages if isinstance(pages, str) else there(pages)} for title, pages in NAVIGATION.items()],
    }  # fmt: skip


class Links(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links, self.loads, self.anchors = list[str](), list[str](), {""}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        values = {key: value or "" for key, value in attrs}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if tag in ("script", "img", "link", "iframe", "source") and values.get("rel") not in (
            "canonical",
            "next",
            "prev",
        ):
            self.loads += [values[key] for key in ("src", "href") if key in values]
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])


def broken() -> Iterator[str]:
    """One line for each link of the site that leads nowhere, and for each thing that it would load from elsewhere."""
    pages = {path: Links(path) for path in sorted(SITE.rglob("*.html")) if path.name != "404.html"}
    for page, found in pages.items():
        yield from (f"{page.name} loads {each}" for each in found.loads if re.match(r"(https?:)?//", each))
        for link in (*found.links, *found.loads):
            name, anchor = urldefrag(link)
            if re.match(r"([a-z]+:|//)", name):
                continue
            target = (page.parent / unquote(name)).resolve() if name else page
            if target.is_dir():
                target = target / "index.html"
            if not target.exists():
                yield f"{page.relative_to(SITE)} links to {link}, which is not there"
            elif target in pages and unquote(anchor) not in pages[target].anchors:
                yield f"{page.relative_to(SITE)} links to {link}: no such heading"
    for sheet in SITE.rglob("*.css"):
        yield from (
            f"{sheet.name} loads {each}" for each in re.findall(r"url\(['\"]?(https?://[^)]+)\)", sheet.read_text())
        )


def main() -> int:
    """Build and check; returns the exit status."""
    sys.path.insert(0, str(ROOT))
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    logging.basicConfig(format="docs/pages.py: %(message)s")  # a strict build ends without saying why
    stage()
    file = STAGE.parent / "mkdocs.json"  # JSON is YAML
    file.write_text(json.dumps(configuration()))
    build(load_config(str(file)))
    wrong = list(broken())
    print(*wrong, f"{len(wrong)} broken links; the site is in {SITE.relative_to(ROOT)}", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
