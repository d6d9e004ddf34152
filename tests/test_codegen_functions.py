"""Every operation of a cell in ONNX Runtime, in ONNX's own evaluator and in C, in the full range of float32.

One cell applies each of them to its gates, without a product and without looking at its state, so that each operation
is seen as it stands in an exported step. What it must be is numpy's answer in float64.
"""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from c_networks import CC, compile_sources
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import tuirnn.codegen.arrays  # noqa: F401  expressions compute with numpy
from tuirnn.cellfile.forms import FORMS, STEP
from tuirnn.cells import CELLS, Cell, Gradients, Parts, Product, TransposedProduct
from tuirnn.cells.functions import FUNCTIONS, V, apply
from tuirnn.codegen.evaluate import evaluate
from tuirnn.codegen.expression import ARITHMETIC, leaf
from tuirnn.codegen.onnx import OnnxCell, operators
from tuirnn.codegen.onnx_builder import GraphBuilder
from tuirnn.codegen.onnx_functions import WRITE
from tuirnn.codegen.trace import traced
from tuirnn.export import c_program
from tuirnn.export.c_source import FLAGS
from tuirnn.export.lowering import lower

H = 16
LARGEST = float(np.finfo(np.float32).max)
ABSOLUTE = {"sigmoid", "tanh"}
"""Functions that runtimes compute to 1e-6 of their largest value: near zero they may lose digits."""


class Everything(Cell):
    """A part of the state for each operation, and one in which a truth value is used twice."""

    name = family = "everything"
    year, paper, gates, words = 2026, "", ("a", "b", "c"), {"a": "a", "b": "b", "c": "c"}
    state = ("h", *FUNCTIONS, *ARITHMETIC, "twice", "same")

    @staticmethod
    def step(x: Parts[V], s: Parts[V], W: Product[V], p: Parts[V]) -> tuple[Parts[V], Parts[V]]:
        operands = (x.a, x.b, x.c)
        after = {name: apply(name, *operands[:count]) for name, count in FUNCTIONS.items()}
        after |= {"add": x.a + x.b, "sub": x.a - x.b, "mul": x.a * x.b, "div": x.a / x.b, "neg": -x.a}
        above = apply("is_positive", x.a)
        after |= {"twice": apply("select", above, x.b, 1.5) - apply("select", x.a, x.c, -2), "same": after["exp"]}
        return Parts(h=x.a, **after), Parts()

    @staticmethod
    def step_backward(
        d: Parts[V], k: Parts[V], s: Parts[V], after: Parts[V], Wt: TransposedProduct[V], p: Parts[V]
    ) -> Gradients[V]:
        """Not called: the cell is not trained."""
        return Gradients(Parts(dict.fromkeys(s, 0.0 * d.h)), Parts(a=d.h, b=d.h, c=d.h))


CELL = Everything()
Run = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Input halves [3 H] float32 -> each part of the state after a step, [H]."""


def model() -> onnx.ModelProto:
    b = GraphBuilder()
    before, after = ([f"{name}_{side}" for name in CELL.state] for side in ("in", "out"))

    def never(*_: Any) -> str:
        raise AssertionError("it has no product")

    OnnxCell(CELL).add_step(b, "", "gx", before, after, np.zeros((0, H)), never, never, first=True)
    fed = [helper.make_tensor_value_info("gx", TensorProto.FLOAT, [1, 3 * H])]
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, H]) for name in after]
    graph = helper.make_graph(b.nodes, "g", fed, out, list(b.constants.values()))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 7
    onnx.checker.check_model(made, full_check=True)
    return made


def in_onnx_runtime(folder: Path) -> Run:
    session = onnxruntime.InferenceSession(model().SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda gx: named(session.run(None, {"gx": gx[None]}))


def in_onnx_reference(folder: Path) -> Run:
    evaluator = ReferenceEvaluator(model())

    def run(gx: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(all="ignore"):
            return named(evaluator.run(None, {"gx": gx[None]}))

    return run


HARNESS = """
void run(const float *gx, float *out) {
    cell_state state = {0};
    network(gx, &state, out);
    memcpy(out, &state, sizeof state);
}
"""
NONE = "static const char *const cell_columns[1]; static const float cell_test_inputs[1][1], cell_test_outputs[1];"


def in_c(folder: Path) -> Run:
    if CC is None:
        pytest.skip("no C compiler")
    made = lower(model())
    states = {f"{name}_in": (1, H) for name in CELL.state}
    made = replace(made, states=states, results={"answer": next(iter(made.results.values())), **made.results})
    for name in ("cell.c", "cell.h"):
        (folder / name).write_text((Path(c_program.__file__).parent / "c" / name).read_text())
    (folder / "cell_sizes.h").write_text("")
    (folder / "cell_weights.h").write_text("")
    (folder / "cell_network.h").write_text(c_program.network_function(made))
    named_sizes = {**c_program.sizes(made), "CELL_STATE": c_program.state_members(made), "CELL_POINTS": 1,
                   "CELL_COLUMNS": 3 * H, "CELL_OUTPUTS": H, "CELL_TEST_STEPS": 0, "CELL_TEST_OUTPUTS": 0,
                   "CELL_ALIGNED": "", "cell_test_tolerances": "cell_test_outputs"}  # fmt: skip
    defined = "\n".join(f"#define {name} {value}" for name, value in named_sizes.items())
    (folder / "all.c").write_text(f'{defined}\n{NONE}\n#include "cell.c"\n{HARNESS}')
    library = ctypes.CDLL(
        str(compile_sources(folder, ["all.c"], *FLAGS, "-fPIC", "-shared", out="all.so", checks=False))
    )

    def run(gx: np.ndarray) -> dict[str, np.ndarray]:
        a, out = np.ascontiguousarray(gx), np.zeros((len(CELL.state), H), np.float32)
        library.run(a.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p))
        return named(out)

    return run


def named(values: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(value).ravel() for name, value in zip(CELL.state, values, strict=True)}


@pytest.fixture(scope="module", params=[in_onnx_runtime, in_onnx_reference, in_c])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One of the three."""
    made: Run = request.param(tmp_path_factory.mktemp("functions"))
    return made


def expected(gx: np.ndarray) -> dict[str, np.ndarray]:
    """In float64 by numpy; what float32 cannot hold is infinite."""
    leaves = {leaf("x", gate): part.astype(np.float64) for gate, part in zip("abc", np.split(gx, 3), strict=True)}
    with np.errstate(all="ignore"):
        found = {name: np.asarray(evaluate(node, leaves)) for name, node in traced(CELL).after.items()}
        return {name: np.where(np.abs(y) > LARGEST, np.sign(y) * np.inf, y) for name, y in found.items()}


EXTREME = [0.0, -0.0, *(sign * x for x in (1e-30, 1e-6, 0.5, 1, 20, 87, 88, 104, 1000, 1e30) for sign in (1, -1))]
NUMBERS = st.sampled_from(EXTREME) | st.floats(-100, 100, width=32) | st.floats(-1, 1, width=32)


@settings(max_examples=60)
@given(st.lists(NUMBERS, min_size=3 * H, max_size=3 * H))
@example([*EXTREME[:H], *EXTREME[::-1][:H], *[1.0] * H])
@example([*EXTREME[-H:], *EXTREME[:H], *[1.0] * H])
def test_every_operation_is_right_in_the_full_range(run: Run, numbers: list[float]) -> None:
    gx = np.array(numbers, np.float32)
    exact, with_c = expected(gx), run.__qualname__.startswith("in_c")
    for name, found in run(gx).items():
        y = exact[name]
        same = (found == y) | (np.isnan(found) & np.isnan(y))
        with np.errstate(invalid="ignore"):
            allowed = 1e-6 * (np.maximum(np.abs(y), 1) if name in ABSOLUTE else np.abs(y)) + 1e-37
            near = np.abs(found - y) <= allowed
            edge = (np.abs(found) >= 0.99 * LARGEST) & (np.abs(y) >= 0.99 * LARGEST)  # beside the last number
        wrong = ~(same | near | edge)
        assert not wrong.any(), (name, with_c, gx[:H][wrong], found[wrong], y[wrong])


def test_every_operation_is_written_for_every_target() -> None:
    assert set(WRITE) == {*FUNCTIONS, *ARITHMETIC}


def test_the_guard_knows_every_operator_of_a_step_and_allows_it_to_no_other_cell() -> None:
    assert operators(CELL) <= set(FORMS)
    own = {kind for kind, form in FORMS.items() if STEP in form.parts}
    assert own < operators(CELL)
    five = {kind for name in ("rnn", "rnn-relu", "lstm", "gru", "gru-before") for kind in operators(CELLS[name])}
    assert not own & five


def test_a_truth_value_is_made_once() -> None:
    kinds = [node.op_type for node in model().graph.node]
    assert kinds.count("Greater") == 1  # of is_positive, of two selects by a, and of one by is_positive(a)
    assert operators(CELL) == set(kinds)
