"""Settings of what each evaluation writes for people; nothing that is learned depends on them."""

from dataclasses import dataclass

from tuirnn.settings.section import Section, option


@dataclass(frozen=True, kw_only=True)
class DisplayConfig(Section):
    """The text that a language model writes at each evaluation."""

    sample_length: int = option(300, "Tokens written at each evaluation; 0: none.", low=0, high=100_000)
    sample_prime: str = option("", "What the text written at evaluations begins with; none: a new line.")
    sample_temperature: float = option(0.8, "Temperature of that text; 0: greedy.", low=0.0, high=100.0)
