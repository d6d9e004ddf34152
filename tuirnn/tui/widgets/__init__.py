"""Widgets that draw what they are handed; none of them opens a file."""
