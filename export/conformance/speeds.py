"""Runs cells of each precision in one Python runtime, for precisions.py: `speeds.py RUNTIME JOB.json`; prints JSON.

For each cell: whether it reproduces its test vector, and steps a second on one thread; or why it does not run.
"""

import json
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
from runtimes import RUNTIMES

SECONDS = 0.5


def main(name, job):
    """Print a line of JSON for each cell: one that ends the process has none."""
    print(json.dumps({"version": metadata.version(RUNTIMES[name].package)}), flush=True)
    for cell in job:
        try:
            found = run(RUNTIMES[name], cell)
        except Exception as error:
            said = (str(error) or repr(error)).strip().splitlines()
            found = {"why": said[-1] if said else "no message"}
        print(json.dumps({"name": cell["name"], **found}), flush=True)


def run(kind, cell):
    """The largest difference from the test vector, in its tolerance, and steps a second."""
    states, shape, vector = cell["state_map"], tuple(cell["shape"]), cell["vector"]
    runtime = kind(cell["path"], states, shape)
    state = {into: np.zeros(shape, np.float32) for into in states.values()}

    def step(token):
        outputs = runtime.run({"token": np.array([token], np.int64), **state})
        state.update({into: np.ascontiguousarray(outputs[out]).reshape(shape) for out, into in states.items()})
        return np.array(outputs["logits"]).reshape(-1)

    for token in vector["tokens"]:
        logits = step(token)
    expected = np.array(vector["logits"])
    off = np.abs(logits[: len(expected)] - expected).max() / (vector["atol"] * max(1.0, np.abs(expected).max()))
    best = 0.0
    for _ in range(3):
        steps, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < SECONDS:
            step(steps % 64)
            steps += 1
        best = max(best, steps / spent)
    return {"off": float(off), "rate": best}


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
