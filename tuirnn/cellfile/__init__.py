"""The cell file: one ONNX graph of a single step, and what its metadata promise. No torch here.

`contract` names inputs, outputs and metadata; `guard` decides whether a file may be trusted so far as to be run.
The format is described in `export/README.md`.
"""
