"""Runs cell files in one Python runtime, for conformance.py: `runtimes.py RUNTIME JOB.json`.

A runtime gets the path of a cell, its inputs (name -> dtype and shape, what is fed first) and the names of its outputs.
The job lists cells, the tokens to feed and how many to choose greedily after them; what came out is written beside each
cell. Nothing of tuirnn is imported: this is what any host has to do.
"""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np


class OnnxRuntime:
    package = "onnxruntime"

    def __init__(self, path, inputs, outputs):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def run(self, feeds):
        return dict(zip(self.names, self.session.run(None, feeds), strict=True))


class OnnxReference:
    package = "onnx"

    def __init__(self, path, inputs, outputs):
        from onnx.reference import ReferenceEvaluator

        self.evaluator = ReferenceEvaluator(path)

    def run(self, feeds):
        return dict(zip(self.evaluator.output_names, self.evaluator.run(None, feeds), strict=True))


class OpenVino:
    package = "openvino"

    def __init__(self, path, inputs, outputs):
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        self.request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def run(self, feeds):
        outputs = self.request.infer(feeds)
        return {output.get_any_name(): np.array(value) for output, value in outputs.items()}


class Tract:
    package = "tract"

    def __init__(self, path, inputs, outputs):
        import tract

        model = tract.onnx().load(path)
        self.inputs = [model.input_name(i) for i in range(model.input_count())]
        for i, name in enumerate(self.inputs):
            dtype, shape = inputs[name]
            model.set_input_fact(i, ",".join([*map(str, shape), {"int64": "i64", "float32": "f32"}[dtype]]))
        self.outputs = [model.output_name(i) for i in range(model.output_count())]
        self.runnable = model.into_model().into_runnable()

    def run(self, feeds):
        found = self.runnable.run([np.ascontiguousarray(feeds[name]) for name in self.inputs])
        return dict(zip(self.outputs, (value.to_numpy() for value in found), strict=True))


class OpenCv:
    package = "opencv-python-headless"

    def __init__(self, path, inputs, outputs):
        import cv2

        self.net = cv2.dnn.readNetFromONNX(path)
        self.outputs = outputs

    def run(self, feeds):
        for name, value in feeds.items():
            self.net.setInput(value, name)
        return dict(zip(self.outputs, (np.array(v) for v in self.net.forward(self.outputs)), strict=True))


class Mnn:
    package = "MNN"

    def __init__(self, path, inputs, outputs):
        converted = Path(path).with_suffix(".mnn")
        tool = Path(sys.executable).with_name("mnnconvert")
        command = [tool, "-f", "ONNX", "--modelFile", path, "--MNNModel", converted, "--bizCode", "tuirnn"]
        subprocess.run(command, check=True, capture_output=True)
        import MNN

        self.numpy = MNN.numpy
        self.inputs, self.outputs = list(inputs), outputs
        settings = {"precision": "high", "backend": "CPU", "numThread": 1}
        manager = MNN.nn.create_runtime_manager((settings,))
        self.net = MNN.nn.load_module_from_file(str(converted), self.inputs, self.outputs, runtime_manager=manager)

    def run(self, feeds):
        values = [
            self.numpy.array(feeds[name].astype(np.int32 if feeds[name].dtype == np.int64 else np.float32))
            for name in self.inputs
        ]
        found = self.net.forward(values)
        return {
            name: np.array(value.read()).reshape(value.shape) for name, value in zip(self.outputs, found, strict=True)
        }


RUNTIMES = {
    "onnxruntime": OnnxRuntime, "onnx.reference": OnnxReference, "openvino": OpenVino, "tract": Tract,
    "opencv": OpenCv, "mnn": Mnn,
}  # fmt: skip


def main(name, job):
    """Run every cell that has no answer yet; why one does not run stands in a file beside it."""
    kind = RUNTIMES[name]
    for cell in job["cells"]:
        stem = f"{cell['path']}.{name}"
        if Path(f"{stem}.why").exists() or Path(f"{stem}.greedy").exists():
            continue
        try:
            logits, chosen = run(kind, cell, job)
        except Exception as error:
            said = getattr(error, "stderr", b"") or str(error) or repr(error)
            Path(f"{stem}.why").write_text(said.decode(errors="replace") if isinstance(said, bytes) else said)
            continue
        logits.tofile(f"{stem}.logits")
        Path(f"{stem}.greedy").write_text(json.dumps(chosen))
    print(f"version {metadata.version(kind.package)}")


def run(kind, cell, job):
    """The logits of the given tokens, and the tokens chosen after them."""
    states = cell["state_map"]
    shape = (cell["layers"], 1, cell["hidden"])
    inputs = {"token": ("int64", (1,)), **dict.fromkeys(states.values(), ("float32", shape))}
    runtime = kind(cell["path"], inputs, ["logits", *states])
    state = {into: np.zeros(shape, np.float32) for into in states.values()}
    logits, chosen = [], []
    for token in [*job["tokens"], *[None] * job["greedy"]]:
        if token is None:
            token = int(logits[-1].argmax())
            chosen.append(token)
        outputs = runtime.run({"token": np.array([token], np.int64), **state})
        state = {into: np.ascontiguousarray(outputs[out]).reshape(shape) for out, into in states.items()}
        logits.append(np.array(outputs["logits"]).reshape(-1))
    return np.asarray(logits[: len(job["tokens"])], np.float32), chosen


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
