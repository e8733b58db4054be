"""Graphs with 8-bit integers: static quantisation by ONNX Runtime, weights per channel, as QDQ nodes.

Nagel et al. 2021, "A white paper on neural network quantization": ranges of activations are the least
and the largest value of some training pictures (activations end at 6 in EfficientNet-Lite).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.host import dot_products
from export.onnx_writer import drop_traces

#: So many convolutions from the input on stay float32: they cost most of what int8 loses (in Lite0
#: on X-rays two thirds of the change of probabilities) and little of what it gains.
FIRST_IN_FLOAT = 6


class _Pictures(CalibrationDataReader):
    """Inputs (n, C, H, W) in batches of the graph's fixed size; what does not fill one is left."""

    def __init__(self, name: str, inputs: npt.NDArray[np.float32], batch: int) -> None:
        self._name = name
        whole = len(inputs) // batch * batch
        self._batches: Iterator[npt.NDArray[np.float32]] = iter(
            inputs[:whole].reshape(-1, batch, *inputs.shape[1:])
        )

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the hundreds of lines that the quantisation of a network is worth to the library."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def kept_in_float(graph: onnx.GraphProto) -> list[str]:
    """The nodes that stay float32: FIRST_IN_FLOAT convolutions deep, and from the graph's last one on.

    The last one gives logits or the evidence that an attention map shows, whose mean is the logit.
    Raises ValueError where nothing would be left to quantise.
    """
    depths: dict[str, int] = {}
    kept, last = [], 0
    for place, node in enumerate(graph.node):
        convolution = node.op_type == "Conv"
        depth = max((depths.get(name, 0) for name in node.input), default=0) + convolution
        depths.update(dict.fromkeys(node.output, depth))
        if depth <= FIRST_IN_FLOAT:
            kept.append(node.name)
        if convolution:
            last = place
    if max(depths.values()) < FIRST_IN_FLOAT + 2:
        raise ValueError(
            f"{max(depths.values())} convolutions one after the other are too few to quantise any"
        )
    return [*kept, *(node.name for node in graph.node[last:])]


def quantise(
    source: Path, target: Path, inputs: npt.NDArray[np.float32], *, seven_bits: bool | None = None
) -> None:
    """Write the float32 graph ``source``, of one input and a fixed shape, with 8-bit integers to ``target``.

    ``inputs`` (n, C, H, W): prepared training pictures, at least one batch. Activations are unsigned,
    weights signed. On x86 without VNNI products of the two are added up in 16 bits, which can overflow:
    with ``seven_bits`` weights stay so small that they cannot (by default where this machine needs it).
    Raises ValueError for a graph or a number of pictures that is too small.
    """
    if seven_bits is None:
        seven_bits = not dot_products()
    with tempfile.TemporaryDirectory() as folder, _quietly():
        simplified = Path(folder) / "model.onnx"
        # Shapes are fixed, so that the symbolic inference, which fails on some nodes, has nothing to add.
        quant_pre_process(source, simplified, skip_symbolic_shape=True)
        graph = onnx.load(simplified).graph
        batch = graph.input[0].type.tensor_type.shape.dim[0].dim_value
        if len(inputs) < batch:
            raise ValueError(f"{len(inputs)} pictures are less than a batch of {batch}")
        quantize_static(
            simplified,
            target,
            _Pictures(graph.input[0].name, inputs, batch),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=seven_bits,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept_in_float(graph),
        )
    drop_traces(target)
