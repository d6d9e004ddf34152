"""Colours of lines, on paper and on the screen."""

COLOURS = ("#0B66B0", "#9A4F00", "#00705A", "#9C3F86", "#6B6200", "#B03A00", "#4A50B5", "#555555")
"""Of the lines of runs on a light ground, near to Okabe and Ito's, which colour-blind eyes tell apart."""
