"""ONNX Runtime: which execution providers there are, and a graph that runs on the best of them."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from plugin.domain.errors import ModelError, first_line

log = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


class Session:
    """A network's graph in ONNX Runtime. Where the GPU fails, it goes on, and stays, on the CPU.

    Safe to run from several threads.
    """

    def __init__(self, path: Path, *, sha256: str, providers: Sequence[str], threads: int) -> None:
        """Load the graph of a file on the first of ``providers`` that can be had.

        Raises ModelError where the file has another SHA-256 or ONNX Runtime cannot load it, OSError where
        it cannot be read.
        """
        self._path = path
        self._sha256 = sha256
        self._threads = threads
        self._moving = threading.Lock()
        self._runtime = self._load(providers)
        self.problem: str | None = None
        """Why the graph runs on the CPU though it was begun on the GPU; None as long as it does not."""

    @property
    def provider(self) -> str:
        """The execution provider that ONNX Runtime really uses."""
        return str(self._runtime.get_providers()[0])

    def run(self, outputs: Sequence[str], inputs: Mapping[str, FloatArray]) -> list[FloatArray]:
        """The named outputs for the named inputs.

        A GPU can run out of memory, or be lost, at any run: that run and all after it are the CPU's.
        Raises ONNX Runtime's exceptions where the CPU fails too.
        """
        runtime = self._runtime
        try:
            return list(runtime.run(list(outputs), dict(inputs)))
        except Exception as error:
            if runtime.get_providers()[0] == CPU:
                raise
            self._move_to_cpu(runtime, error)
        return list(self._runtime.run(list(outputs), dict(inputs)))

    def _move_to_cpu(self, failed: Any, error: Exception) -> None:
        with self._moving:
            if self._runtime is not failed:
                return  # another thread was faster
            self._runtime = self._load([CPU])
            self.problem = f"runs on the CPU since CUDA failed: {first_line(error)}"
            log.warning("%s %s", self._path.parent.name, self.problem)

    def _load(self, providers: Sequence[str]) -> Any:
        content = self._path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != self._sha256:
            raise ModelError(
                f"{self._path.name} has SHA-256 {digest[:12]}…, its card says {self._sha256[:12]}…"
            )
        try:
            return onnxruntime.InferenceSession(
                content, sess_options=_options(self._threads), providers=list(providers)
            )
        except Exception as error:  # ONNX Runtime raises its own, undocumented exception classes
            raise ModelError(f"ONNX Runtime cannot load it: {first_line(error)}") from error


def available_providers(wanted: str) -> list[str]:
    """ONNX Runtime's providers for a setting of ``auto``, ``cpu`` or ``cuda``, best first.

    CUDA is offered only where an NVIDIA driver can be loaded: without one ONNX Runtime fills the log
    with errors before it falls back.
    """
    if wanted == "cpu" or why_no_cuda() is not None:
        return [CPU]
    onnxruntime.preload_dlls()  # CUDA and cuDNN from their wheels, where the host has none
    return [CUDA, CPU]


def why_no_cuda() -> str | None:
    """Why CUDA cannot even be tried; None where it can."""
    if CUDA not in onnxruntime.get_available_providers():
        return "this ONNX Runtime is built without CUDA (CHEST_AI_ACCELERATOR=gpu ./run install brings it)"
    if not _nvidia_driver():
        return "no NVIDIA driver can be loaded"
    return None


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would burn the core that receives images while they wait for the next slice.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _nvidia_driver() -> bool:
    if not Path("/dev/nvidiactl").exists() and "CUDA_VISIBLE_DEVICES" not in os.environ:
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
