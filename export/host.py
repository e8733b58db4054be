"""What machine this is: seconds, and what 8-bit integers gain, are facts of it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import onnxruntime

#: Instructions that multiply 8-bit integers and add up in 32 bits, as /proc/cpuinfo names them.
_DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def _cpuinfo() -> str:
    """Linux's description of the processor; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def dot_products() -> tuple[str, ...]:
    """The instructions for 8-bit integers; none where there are none or they are not told."""
    words = set(_cpuinfo().split())
    return tuple(name for name in _DOT_PRODUCTS if name in words)


def described(threads: int) -> str:
    """Processor, cores, instructions for 8-bit integers, threads used, and ONNX Runtime's version."""
    names = [
        line.partition(":")[2].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")
    ]
    processor = names[0] if names else platform.machine()
    extensions = " ".join(dot_products()) or "no instructions for 8-bit integers"
    cores = f"{os.cpu_count()} cores, {threads} used"
    return f"{processor}, {cores}, {extensions}; ONNX Runtime {onnxruntime.__version__}"
