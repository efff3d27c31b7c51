"""The network outside PyTorch: as ONNX graphs, run by ONNX Runtime or TensorRT."""
