"""What runs the network: PyTorch, PyTorch compiled, ONNX Runtime or TensorRT."""
