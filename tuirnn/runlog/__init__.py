"""The logs of a run, followed while they grow: curves, samples, probes. numpy only; no torch, no Textual."""
