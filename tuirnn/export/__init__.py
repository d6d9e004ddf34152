"""Checkpoint -> ONNX cell -> verified file. Needs onnx and numpy, never torch."""
