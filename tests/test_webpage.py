"""Pages and modules for browsers: the same numbers and texts as everywhere, no request, nothing that axe finds."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from any_text import any_texts
from c_networks import VOCABULARIES, logits_after, network
from chromium import Browser, needs_chromium
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tuirnn.cells import CELLS
from tuirnn.errors import VerificationError
from tuirnn.export import webpage
from tuirnn.export.exporter import export_network
from tuirnn.export.lowering import lower
from tuirnn.export.network import Network, _learned_from, read_network
from tuirnn.export.wasm import wasm_module
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_record
from tuirnn.runtime.generate import TextWriter
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.scaling import DIFFERENCE, Scaling
from tuirnn.tasks import TASKS

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node")
FORMS: list[dict[str, Any]] = [
    {}, {"layers": 2, "residual": True}, {"hidden": 37, "projection": 20}, {"layers": 3, "embed": 0}, {"hidden": 1},
]  # fmt: skip
MATRIX = [{**cell.settings, **FORMS[i % len(FORMS)]} for i, cell in enumerate(CELLS.values())]

STEPS = """
import { readFileSync } from "node:fs";
const all = [];
for (const { path, tokens, outputs } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const { instance: { exports } } = await WebAssembly.instantiate(readFileSync(path));
  const answer = new Float32Array(exports.memory.buffer, exports.answer.value, outputs);
  all.push(tokens.map((token) => { exports.step(token); return Array.from(answer); }));
}
console.log(JSON.stringify(all));
"""


def node(folder: Path, script: str, *arguments: str) -> Any:
    """What a script prints as JSON."""
    (folder / "script.mjs").write_text(script)
    command = [str(NODE), str(folder / "script.mjs"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ── WebAssembly ──────────────────────────────────────────────────────────────────


@needs_node
def test_every_cell_computes_in_webassembly_what_the_reference_does(tmp_path: Path) -> None:
    jobs, expected = [], []
    for i, shape in enumerate(MATRIX):
        net = network(list(VOCABULARIES)[i % len(VOCABULARIES)], **shape)
        cell = export_network(net, proofs=False)
        path = tmp_path / f"{i}.wasm"
        path.write_bytes(wasm_module(lower(onnx.load_from_string(cell.data))))
        tokens = [(7 * t + 1) % len(net.vocab) for t in range(100)]
        jobs.append({"path": str(path), "tokens": tokens, "outputs": len(net.vocab)})
        expected.append(np.array(logits_after(net, tokens)))
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    for shape, found, right in zip(MATRIX, node(tmp_path, STEPS, str(tmp_path / "jobs.json")), expected, strict=True):
        assert_allclose(found, right, rtol=0, atol=1e-5 * max(1, np.abs(right).max()), err_msg=str(shape))


def with_classes(task: str, **shape: str) -> Network:
    """A network whose logits are those of five classes."""
    net = network("char", cell="gru", layers=2, **shape)
    weight, bias = net.weights.head
    weights = replace(net.weights, head=(weight[:5], bias[:5]))
    return replace(net, task=TASKS[task], classes=("O", "B-X", "I-X", "B-<Y>", "I-<Y>"), weights=weights)


def forecaster() -> Network:
    """A network of three columns."""
    from tuirnn.export.random_network import random_network
    from tuirnn.settings.model import ModelConfig
    from tuirnn.vocab import Vocabulary

    net = random_network(ModelConfig(cell="lstm", hidden=20, embed=3), VOCABULARIES["char"])
    weight, bias = net.weights.head
    weights = replace(net.weights, embedding=None, head=(weight[:3], bias[:3]))
    scaling = Scaling(("a & b", "c", "d"), (1.0, -200.0, 0.0), (0.5, 30.0, 1e-3))
    return replace(net, task=TASKS["forecast"], vocab=Vocabulary("point"), scaling=scaling, weights=weights)


def of_differences() -> Network:
    """A forecaster whose state holds the point before."""
    net = forecaster()
    assert net.scaling is not None
    return replace(net, scaling=replace(net.scaling, reads=DIFFERENCE, steps=net.scaling.std))


def with_calendar() -> Network:
    """A forecaster that reads the hour and the weekday of the next point."""
    net = forecaster()
    assert net.scaling is not None
    first = net.weights.layers[0]
    wide = np.random.default_rng(3).normal(size=(len(first.weight_ih), 7)) / 3
    layers = (replace(first, weight_ih=wide), *net.weights.layers[1:])
    scaling = replace(net.scaling, periods=(86_400.0, 604_800.0))
    return replace(net, scaling=scaling, weights=replace(net.weights, layers=layers))


NETWORKS = {
    "text": lambda: network("char", cell="gru", hidden=32),
    "bytes": lambda: network("byte", cell="lstm"),
    "words": lambda: network("word", cell="rnn"),
    "subwords": lambda: network("bpe", cell="gru"),
    "labels": lambda: with_classes("classify"),
    "pooled": lambda: with_classes("classify", pooling="last+max"),
    "tags": lambda: with_classes("tag"),
    "series": forecaster,
    "differences": of_differences,
    "calendar": with_calendar,
}


@needs_node
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_modules_reproduce_the_test_vector_and_wrong_ones_are_refused(kind: str) -> None:
    net = NETWORKS[kind]()
    files = webpage.module_files(net, export_network(net), "network")
    assert webpage.check(files) == ""
    cell = export_network(net, proofs=False)
    program = lower(onnx.load_from_string(cell.data))
    wrong = {name: value + 1 if name.endswith("_bias") else value for name, value in program.constants.items()}
    program = replace(program, constants=wrong)
    with pytest.raises(VerificationError, match="does not reproduce"):
        webpage.check({**files, "network.wasm": wasm_module(program)})


def test_without_node_the_modules_are_said_not_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert webpage.check({}).startswith("no Node")


@needs_node
def test_a_module_reads_the_time_of_the_next_point(tmp_path: Path) -> None:
    net = with_calendar()
    assert net.scaling is not None
    for name, data in webpage.module_files(net, export_network(net), "network").items():
        (tmp_path / name).write_bytes(data)
    point, next_time = [1.5, -190.0, 0.001], 1_800_003_600
    whole = [*point, *net.scaling.calendar(np.array(next_time)).tolist()]
    outputs = node(tmp_path, (
        'import { open } from "./network.mjs"; const cell = await open(); const all = [];'
        f"for (const read of [[{point}, {next_time}], [{whole}]]) {{ cell.reset();"
        "all.push(Array.from(cell.step(...read))); }"
        f"try {{ cell.step({point}); }} catch (error) {{ all.push(error.message); }} console.log(JSON.stringify(all));"
    ))  # fmt: skip
    assert_allclose(outputs[0], outputs[1], rtol=1e-6)
    assert outputs[2] == "a point has 3 numbers, and the next one's time"


# ── texts are cut as in Python ───────────────────────────────────────────────────

CUT = """
import { readFileSync } from "node:fs";
const cells = [];
for (const name of ["char", "byte", "word", "bpe"]) cells.push(await (await import(`./${name}.mjs`)).open());
const texts = JSON.parse(readFileSync(process.argv[2], "utf8"));
const both = ({ vocab }, text) => [vocab.encode(text), vocab.decode(vocab.encode(text))];
console.log(JSON.stringify(texts.map((text) => cells.map((cell) => both(cell, text)))));
"""


@needs_node
def test_texts_of_any_script_are_cut_as_in_python(tmp_path: Path) -> None:
    for kind in VOCABULARIES:
        net = network(kind, hidden=8)
        for name, data in webpage.module_files(net, export_network(net), kind).items():
            (tmp_path / name).write_bytes(data)
    texts = any_texts()
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    for text, found in zip(texts, node(tmp_path, CUT, str(tmp_path / "texts.json")), strict=True):
        for vocab, (tokens, back) in zip(VOCABULARIES.values(), found, strict=True):
            assert tokens == vocab.encode(text).tolist(), (vocab.kind, text)
            if vocab.of_bytes:
                assert back == vocab.decode(tokens)


@needs_chromium
@pytest.mark.skipif(not os.environ.get("TUIRNN_LONG"), reason="the code of the module above; TUIRNN_LONG=1 runs it")
def test_the_pages_cut_texts_of_any_script_as_python_does(tmp_path: Path) -> None:
    texts = any_texts()
    with Browser() as browser:
        for kind, vocab in VOCABULARIES.items():
            net = network(kind, hidden=8)
            (tmp_path / "page.html").write_bytes(webpage.web_page(net, export_network(net)))
            browser.open((tmp_path / "page.html").as_uri())
            browser.wait(READY)
            found = browser.evaluate(f"{json.dumps(texts)}.map((text) => tuirnn.cell.vocab.encode(text))")
            for text, tokens in zip(texts, found, strict=True):
                assert tokens == vocab.encode(text).tolist(), (kind, text)


# ── the page ─────────────────────────────────────────────────────────────────────


@settings(max_examples=30)
@given(st.text(st.sampled_from("<>/!-&script @title@"), max_size=40))
def test_nothing_that_a_name_holds_becomes_markup(name: str) -> None:
    net = replace(network("char", hidden=4), name=name)
    page = webpage.web_page(net, export_network(net, proofs=False)).decode()
    assert page.count("<script") == 3
    assert page.count("</script>") == 3


def test_the_heading_says_what_the_network_learned_from(small_run: RunPaths, small_text: Path) -> None:
    found = read_network(small_run)
    assert f"trained on {small_text.name}. It writes" in webpage._lead(found)
    record = read_record(small_run)
    embedded = replace(record, data={**record.data, "name": "the embedded text"})
    told = _learned_from(embedded, ("default",))
    assert told == "the embedded text (the Python language reference, in every Python)"
    assert f"trained on {told}." in webpage._lead(replace(found, learned_from=told))


def page_of(kind: str, folder: Path) -> tuple[Network, str]:
    net = NETWORKS[kind]()
    file = folder / f"{kind}.html"
    file.write_bytes(webpage.web_page(net, export_network(net)))
    return net, file.as_uri()


READY = "document.body.dataset.ready || !document.getElementById('failure').hidden"
TYPE = (
    "(() => {{ const box = document.getElementById('text'); box.value = {};"
    " box.dispatchEvent(new Event('input')); }})()"  # one statement
)


@needs_chromium
def test_pages_work_from_a_file_and_ask_for_nothing(tmp_path: Path) -> None:
    with Browser(390, 800) as browser:
        for kind in NETWORKS:
            net, address = page_of(kind, tmp_path)
            browser.open(address)
            browser.wait(READY)
            assert float(browser.evaluate("document.body.dataset.ready")) < 2_000, kind  # on a busy machine too
            if not net.scaling:
                browser.evaluate(TYPE.format(json.dumps("the “king” and I")))
            for moment in (0, 3):
                browser.evaluate(
                    f"(() => {{ const m = document.getElementById('moment'); m.value = {moment};"
                    "m.dispatchEvent(new Event('input')); })()"
                )
            shown = "document.querySelectorAll('#next li').length >= 5" if not net.scaling else (
                "document.querySelectorAll('#answers tr').length === 30"
            )  # fmt: skip
            browser.wait(shown)
            assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), kind
            assert browser.said == [], kind
            assert browser.requests[-1] == address
            refused = browser.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')")
            assert refused == "refused"
            browser.said.clear()
        assert [url for url in browser.requests if not url.startswith(("file:", "data:", "https://example.org"))] == []


@needs_chromium
def test_a_page_writes_the_greedy_text_of_onnx_runtime_at_any_moment(tmp_path: Path) -> None:
    net, address = page_of("text", tmp_path)
    writer = TextWriter(CellSession(export_network(net), device="cpu"))
    with Browser() as browser:
        browser.open(address)
        browser.wait(READY)
        browser.evaluate("document.getElementById('temperature').value = 0")
        for text in ("ok", "ok, a néw one", "ok, a n"):  # the last one rewinds
            browser.evaluate(TYPE.format(json.dumps(text)))
            browser.wait("Array.from(document.querySelector('#under .ghost').textContent).length === 240")
            writer.reset()
            writer.feed(text)
            assert browser.evaluate("document.querySelector('#under .ghost').textContent") == "".join(
                writer.stream(Sampling(0), 240)
            )


@needs_chromium
def test_a_page_forecasts_as_onnx_runtime_does_at_any_moment(tmp_path: Path) -> None:
    begin, count, ahead = 1_800_000_000, 40, 5  # 2027-01-15 08:00
    with Browser() as browser:
        for kind, look_back in (
            ("series", 3),
            ("differences", 0),
            ("differences", 3),
            ("calendar", 0),
            ("calendar", 3),
        ):
            net = replace(NETWORKS[kind](), look_back=look_back)
            assert net.scaling is not None
            cell = export_network(net)
            (tmp_path / "page.html").write_bytes(webpage.web_page(net, cell))
            browser.open((tmp_path / "page.html").as_uri())
            browser.wait(READY)
            points = net.scaling.restore(np.random.default_rng(0).normal(size=(count, 3)))
            calendar = net.scaling.calendar(begin + 3600.0 * np.arange(1, count + ahead + 1))
            dates = [f"{datetime.fromtimestamp(begin + 3600 * i, UTC):%Y-%m-%d %H:%M}," for i in range(count)]
            lines = [f"{date * bool(net.scaling.periods)}{','.join(map(repr, p))}"
                     for date, p in zip(dates, points.tolist(), strict=True)]  # fmt: skip
            browser.evaluate(f"document.getElementById('horizon').value = {ahead}")
            browser.evaluate(TYPE.format(json.dumps("\n".join(lines))))
            assert browser.evaluate("document.getElementById('unknown').textContent") == ""
            session = CellSession(cell, device="cpu")
            for moment in (count, 35, 3):  # the last ones rewind
                browser.evaluate(
                    f"(() => {{ const m = document.getElementById('moment'); m.value = {moment};"
                    "m.dispatchEvent(new Event('input')); })()"
                )
                history = [np.concatenate(row) for row in zip(points[:moment], calendar, strict=False)]
                shown = browser.evaluate("Array.from(document.querySelectorAll('#answers td'), (td) => td.textContent)")
                for at in range(ahead):
                    session.reset()
                    for row in history[-look_back:]:
                        y = session.step(row.astype(np.float32))[0]
                    found = [float(value.replace(",", "")) for value in shown[3 * at : 3 * at + 3]]
                    assert_allclose(found, y, rtol=1e-4, atol=1e-5, err_msg=f"{kind} {look_back} {moment} {at}")
                    history.append(np.concatenate([y, calendar[moment + at]]))


AXE = Path(__file__).parent.parent / ".conformance" / "npm" / "node_modules" / "axe-core" / "axe.min.js"


@needs_chromium
@pytest.mark.hosts
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(dark: bool, tmp_path: Path) -> None:
    if not AXE.exists():
        pytest.skip("no axe-core; `make conformance` installs it")
    with Browser(390, 900, dark=dark) as browser:
        for kind in NETWORKS:
            net, address = page_of(kind, tmp_path)
            browser.open(address)
            browser.wait(READY)
            if not net.scaling:
                browser.evaluate(TYPE.format(json.dumps("the king")))
            browser.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            browser.evaluate(AXE.read_text() + ";0")
            found = browser.evaluate(
                "axe.run().then((all) => all.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html).join(' ')))"
            )
            assert found == [], kind
