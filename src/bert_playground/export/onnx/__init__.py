"""Models as ONNX graphs, without torch: build, check against the model, write, answer rows."""
