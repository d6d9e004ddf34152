"""Cells turned into code: a cell is traced into expressions; one file for each target writes them down."""
