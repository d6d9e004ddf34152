"""The run directory: the one road from a trainer to everyone who watches. No torch here.

`writer` has the trainer's side, `reader` and `listing` everyone else's, `control` the requests that go
back, `checkpoint` the verified step directories. The format is described in `checkpoints/README.md`.
"""

FORMAT = 1
"""Version of the run directory's format, in `run.json`."""
