"""How long a network takes on the CPU, as the plugin runs it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
from torch import nn

from export.onnx_writer import write_graph

_RUNS = 3


def seconds_of(
    network: nn.Module,
    *,
    shape: Sequence[int],
    outputs: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> float:
    """Seconds of one run in ONNX Runtime (median of three after a first) over an input of ``shape``."""
    with tempfile.TemporaryDirectory() as folder:
        write_graph(network, Path(folder), shape=shape, outputs=outputs, mean=mean, std=std)
        session = onnxruntime.InferenceSession(
            Path(folder) / "model.onnx", providers=["CPUExecutionProvider"]
        )
    image = np.zeros(tuple(shape), dtype=np.float32)
    times = []
    for _ in range(1 + _RUNS):
        begun = time.monotonic()
        session.run(None, {"image": image})
        times.append(time.monotonic() - begun)
    return median(times[1:])
