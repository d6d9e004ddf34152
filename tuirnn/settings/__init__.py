"""Settings of a run in sections: frozen dataclasses whose values are checked when they are made. No torch."""
