"""The promises of docs/trust.md, put to the test: short forms in tests/test_trust.py, long ones in `make soak`.

Each module has one function that does the harm `n` times and returns what it counted; an `AssertionError` or a
`Broken` says that a promise did not hold, and how to see it again.
"""


class Broken(AssertionError):
    """A promise that did not hold."""
