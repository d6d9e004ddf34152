"""Runs cells in one Python runtime, for precisions.py: `speeds.py RUNTIME JOB.json`; prints JSON.

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
            found = run(Host(RUNTIMES[name], cell), cell)
        except Exception as error:
            said = (str(error) or repr(error)).strip().splitlines()
            found = {"why": said[-1] if said else "no message"}
        print(json.dumps({"name": cell["name"], **found}), flush=True)


class Host:
    """A cell in a runtime, its state carried from call to call."""

    def __init__(self, kind, cell):
        self.inputs, self.outputs, self.state_map = cell["inputs"], cell["outputs"], cell["state_map"]
        self.runtime, self.steps = kind(cell["path"], self.inputs, list(self.outputs)), cell["steps"]
        self.read = next(iter(self.inputs))
        self.begin({})

    def begin(self, rows):
        """Go to zeros, or to rows [layers, hidden] for each state."""
        self.state = {into: np.zeros(self.inputs[into][1], np.float32) for into in self.state_map.values()}
        for into, values in rows.items():
            self.state[into][:] = np.array(values, np.float32)[:, None]

    def call(self, fed):
        """Read a token or point, or a whole block of them; returns the last output."""
        dtype, shape = self.inputs[self.read]
        feeds = {self.read: np.array(fed, dtype).reshape(shape), **self.state}
        if "last" in self.inputs:
            feeds["last"] = np.array([self.steps - 1])
        found = self.runtime.run(feeds)
        self.state = {into: np.ascontiguousarray(found[out]).reshape(self.inputs[into][1])
                      for out, into in self.state_map.items()}  # fmt: skip
        answer = next(iter(self.outputs))
        return np.array(found[answer]).reshape(-1, self.outputs[answer][1][-1])[-1]


def run(host, cell):
    """The largest difference from the test vector, in its tolerance, and steps a second."""
    vector, steps = cell["vector"], host.steps
    fed, expected = vector.get("tokens") or vector["x"], np.array(vector.get("logits") or vector["y"])
    calls = [fed[at : at + steps] for at in range(0, len(fed), steps)]
    for each in calls:
        answer = host.call(each)
    allowed = np.array(cell["allowed"])
    off = np.max(np.abs(answer[: len(expected)] - expected) / allowed)
    if cell["primed"] and written(host, cell["primed"]) != cell["primed"]["tokens"]:
        off = float("inf")
    best = 0.0
    for _ in range(3):
        done, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < SECONDS:
            host.call(calls[done % len(calls)])
            done += 1
        best = max(best, steps * done / spent)
    return {"off": float(off), "rate": best}


def written(host, primed):
    """The likeliest tokens after the state in the file."""
    host.begin(primed["state"])
    token, tokens = primed["opening"], []
    for _ in primed["tokens"]:
        logits = host.call([token])
        logits[primed["unk"]] = -np.inf
        token = int(logits.argmax())
        tokens.append(token)
    return tokens


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
