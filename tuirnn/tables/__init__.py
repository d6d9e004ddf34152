"""Tables and texts as people bring them: encoding, dialect, header, numbers and times, found out or as they were given.

Nothing is guessed in silence: what was understood is told by `Table.told` and kept by `Dialect.to_json`; what has two
plausible answers is an error that names the option which decides.
"""
