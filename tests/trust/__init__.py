"""Tests of the promises in docs/durability.md and docs/threat-model.md.

`tests/test_trust.py` runs their short forms, `make soak` the long ones.

Each module has a function that does the harm `n` times and returns what it counted; a `Broken` or another
`AssertionError` says which promise did not hold, and how to reproduce it.
"""


class Broken(AssertionError):
    """A promise that did not hold."""
