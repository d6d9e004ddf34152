"""Print how far back the error reaches, from a run's probes: the norm of ∂(loss at the last step)/∂h, step by step.

    python docs/learn/fading.py RUN [RUN ...]

One line a probe, the training's step before it; each norm is a share of the one at the last step.
"""

import json
import os
import sys
from pathlib import Path

BACK = (1, 2, 4, 8, 16, 32, 48, 63)
runs = Path(os.environ.get("TUIRNN_RUNS", "checkpoints"))

print(f"{'run, step; steps back':<24}" + "".join(f"{back:>10}" for back in BACK))
for name in sys.argv[1:]:
    probes = runs / name / "probes.jsonl"
    if not probes.exists():
        sys.exit(f"fading: no run '{name}' with probes in {runs}; train one, or set TUIRNN_RUNS")
    for line in probes.read_text().splitlines():
        probe = json.loads(line)
        norms = probe["gradient"][-1]  # the uppermost layer's, oldest step first
        shares = [norms[-1 - back] / norms[-1] for back in BACK if back < len(norms)]
        print(f"{name:<14}{probe['step']:>10,}" + "".join(f"{share:>10.2g}" for share in shares))
