# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What runs the network: PyTorch, PyTorch compiled, ONNX Runtime or TensorRT."""
