"""Running cell files: sessions, samplers, generation, evaluation. ONNX Runtime and numpy, never torch."""
