"""The contract in files: the schema of the sidecar, and texts with their tokens, to which every host is held."""

import json
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from test_block import KINDS
from test_conformance import script
from test_webpage import NETWORKS, needs_node, node

from tuirnn.cellfile import sidecar
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.options import CellOptions
from tuirnn.runtime.opened import opened
from tuirnn.tasks.forecast.prediction import CellReader
from tuirnn.tasks.forecast.rollout import roll_out
from tuirnn.vocab import Vocabulary

EXPORT = Path(__file__).parent.parent / "export"
FORMS = [
    CellOptions(),
    CellOptions(static_batch=3, prime="ok", card={"author": "A"}),
    CellOptions(unroll=2),
    CellOptions(block=3),
]


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    text = resources.files("tuirnn.cellfile").joinpath("sidecar.schema.json").read_text("utf-8")
    value = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(value)
    return jsonschema.Draft202012Validator(value)


@pytest.mark.parametrize("kind", KINDS)
def test_sidecars_of_every_task_and_form_fit_the_schema(kind: str, schema: jsonschema.Draft202012Validator) -> None:
    net = replace(KINDS[kind](), val_loss=1.5)
    for options in FORMS if net.task.writes else FORMS[:1] + FORMS[3:]:
        made = export_network(net, options)
        said = json.loads(json.dumps(sidecar.contents(made.data, made.metadata, options.static_batch)))
        schema.validate(said)
        assert {key for key in said if key.startswith("tuirnn.")} <= set(schema.schema["properties"])
        for key in said:
            less = {name: value for name, value in said.items() if name != key}
            assert schema.is_valid(less) == (key not in required(schema, said["tuirnn.task"]))
            assert not schema.is_valid({**said, key: [1]}), key


def required(schema: jsonschema.Draft202012Validator, task: str) -> set[str]:
    """Keys without which a sidecar of a task is none."""
    value = schema.schema
    found = {*value["required"], *value["then" if task == "forecast" else "else"]["required"]}
    for part in value["allOf"]:
        cases = part["if"]["properties"]["tuirnn.task"]
        if task in cases.get("enum", [cases.get("const")]):
            found.update(part["then"]["required"])
    return found


def test_sidecars_in_the_repository_fit_the_schema_but_for_what_came_later(schema: Any) -> None:
    later = {"tuirnn.opening", "sha256"}
    assert not list(schema.iter_errors(json.loads((EXPORT / "cells" / "shakespeare.json").read_text("utf-8"))))
    for path in (Path(__file__).parent / "old" / "cells").glob("*.json"):
        missing = {name for error in schema.iter_errors(json.loads(path.read_text())) for name in later
                   if name in error.message}  # fmt: skip
        wrong = [e.message for e in schema.iter_errors(json.loads(path.read_text())) if not missing]
        assert wrong == [], path


# ── texts and tokens ─────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXPORT / "tokenisers.json").read_text("utf-8"))
    return found


def test_the_file_says_what_python_does(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXPORT)
    import tokenisers  # type: ignore[import-not-found]

    now = json.loads(json.dumps(tokenisers.contents()))
    assert now["vocabularies"] == told["vocabularies"]
    if now["unicode"] == told["unicode"]:
        assert now == told


def test_the_rule_of_the_readme_is_that_of_the_file(told: dict[str, Any]) -> None:
    """L, N and the underscore; with marks M and both joiners too."""
    import unicodedata

    for key, classes, further in (
        ("word_characters", "LN", "_"),
        ("word_characters_with_marks", "LNM", "_\u200c\u200d"),
    ):
        inside = {point for first, last in told[key] for point in range(first, last + 1)}
        if told["unicode"] == unicodedata.unidata_version:
            rule = {p for p in range(sys.maxunicode + 1)
                    if unicodedata.category(chr(p))[0] in classes or chr(p) in further}  # fmt: skip
            assert inside == rule


READ = """
import { readFileSync } from "node:fs";
import { Vocabulary } from "./cell.mjs";
const told = JSON.parse(readFileSync(process.argv[2], "utf8")), wrong = [];
for (const [name, kind] of Object.entries(told.vocabularies)) {
  const marked = name === "word with marks";
  const vocab = new Vocabulary(kind, marked ? told.word_characters_with_marks : told.word_characters);
  for (const { text, tokens } of kind.texts)
    if (JSON.stringify(vocab.encode(text)) !== JSON.stringify(tokens)) wrong.push([name, text, vocab.encode(text)]);
  for (const { tokens, shown } of kind.streams) {
    const found = tokens.map(vocab.decoder());
    if (found.join("") !== shown.join("")) wrong.push([name, tokens, found]);
  }
}
console.log(JSON.stringify(wrong));
"""


@needs_node
def test_the_page_reads_and_writes_as_the_file_says(tmp_path: Path) -> None:
    source = Path(sidecar.__file__).parent.parent / "export" / "page" / "cell.mjs"
    (tmp_path / "cell.mjs").write_text(source.read_text("utf-8"))
    assert node(tmp_path, READ, str(EXPORT / "tokenisers.json")) == []


def test_texts_of_the_file_decode_to_themselves_in_bytes(told: dict[str, Any]) -> None:
    for name in ("byte", "bpe"):
        kind = told["vocabularies"][name]
        vocab = Vocabulary.from_json(kind["tuirnn.vocab"])
        for each in kind["texts"]:
            assert vocab.decode(each["tokens"]) == each["text"]
    assert script  # the folder of scripts is importable


# ── the README's own code ────────────────────────────────────────────────────────


def code_of(readme: str, heading: str) -> str:
    """The indented lines of a section, up to the first that runs something."""
    part = readme.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    code = "\n".join(line[4:] for line in part.splitlines() if line.startswith("    ") or not line)
    return code.partition("\nhost = Host(")[0]


@pytest.mark.parametrize("look_back", [0, 3])
@pytest.mark.parametrize("kind", ["series", "differences", "calendar"])
def test_the_host_of_the_readme_forecasts(kind: str, look_back: int, tmp_path: Path) -> None:
    net = replace(NETWORKS[kind](), look_back=look_back)
    assert net.scaling is not None
    cell = export_network(net)
    write_cell(cell, tmp_path / "cell.onnx")
    readme, names = (EXPORT / "README.md").read_text("utf-8"), dict[str, Any]()
    exec(code_of(readme, "A complete host in Python") + code_of(readme, "Forecasting"), names)
    points = net.scaling.restore(np.random.default_rng(0).normal(size=(8, 3)))
    times = 1_800_000_000 + 3600.0 * np.arange(1, 13)
    beside = names["calendar"](times, net.scaling.periods) if net.scaling.periods else None
    found = names["forecast"](names["Host"](tmp_path / "cell.onnx"), points, 4, beside)

    calendar = net.scaling.calendar(times)
    reader = CellReader(opened(cell, "it", "cpu"))
    history = np.concatenate([points, calendar[:8]], 1)[:, None]
    expected = roll_out(reader, history, 4, look_back, calendar[8:, None])
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-5, atol=1e-6)
