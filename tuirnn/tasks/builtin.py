"""Names of the data sets that need no file: what is learned from where no source is named."""

DEFAULT, SINCOS, ENTITIES = "default", "sincos", "entities"
"""CPython's own language reference, `pydoc_data.topics`; a series and sentences that are made here."""
