"""Architectures, training, evaluation and export of the networks in ``onnx_models``.

Never imported by the plugin: this side needs PyTorch and MONAI, the plugin does not.
"""
