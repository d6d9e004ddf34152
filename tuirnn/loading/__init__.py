"""From RUN or FILE.onnx to a cell that may be run: stands above `export` and `runtime`, without torch."""
