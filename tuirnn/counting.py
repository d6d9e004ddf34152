"""What a run's data are counted in: the one place that screens and commands ask for the noun beside a count."""

TOKENS = {"char": "characters", "byte": "bytes", "word": "words", "point": "points"}
"""What the tokens of a vocabulary's kind are called."""


def amounts(task: str, kind: str) -> str:
    """What the splits of a run's data are counted in, such as 'characters'.

    Args:
        task: what is learned.
        kind: of the vocabulary's tokens.
    """
    return "sequences" if task == "classify" else TOKENS.get(kind, "tokens")


def speeds(task: str) -> str:
    """What a training's speed is counted in; a classifier's padding counts as tokens."""
    return "points" if task == "forecast" else "tokens"
