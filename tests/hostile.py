"""Files that ask for far more memory or time than they should: made on the spot, read, measured.

``python -m tests.hostile CASE`` reads one case as the plugin does and prints what came of it as JSON: the
outcome, seconds, and the peak memory of the process and of its helper in MiB.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import JPEG2000, DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from plugin.dicom import imaging
from plugin.domain.errors import ImagingError
from plugin.screening import gate
from tests.dicom_factory import MemorySource, as_file, ct_series, source, xray_dataset

RAMP = np.arange(512 * 512, dtype=np.uint32).reshape(512, 512).astype(np.uint16)


def _slices(**attributes: object) -> list[Dataset]:
    positions = tuple(np.arange(0, 200, 5.0))
    return [*ct_series(positions=positions, shape=(256, 256), spacing=(1.3, 1.3), **attributes)]


def _film(frame: bytes, syntax: str, **attributes: object) -> MemorySource:
    """A film whose pixel data is this compressed frame, whatever it holds."""
    dataset = xray_dataset(RAMP, **attributes)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    return source(dataset)


def _frame(pixels: np.ndarray, syntax: str) -> bytes:
    dataset = xray_dataset(pixels)
    dataset.compress(syntax)
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


def jpeg_2000_components() -> MemorySource:
    """A codestream of 16,384 components of 512 x 512."""
    frame = _frame(RAMP, JPEG2000Lossless)
    count = 16384
    size = struct.pack(">H", 38 + 3 * count) + frame[6:40] + struct.pack(">H", count) + frame[42:45] * count
    return _film(frame[:4] + size + frame[45:], JPEG2000Lossless)


def jp2_decoy() -> MemorySource:
    """A JP2 file: a box with a codestream of the declared size, then one of 16,000 x 16,000 x 4."""
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint8)).save(buffer, "JPEG2000")
    plain = buffer.getvalue()
    decoy = plain[plain.index(b"\xff\x4f\xff\x51") :]
    size = struct.pack(">H", 38 + 12) + struct.pack(">HIIIIIIII", 0, 16000, 16000, 0, 0, 16000, 16000, 0, 0)
    large = decoy[:4] + size + struct.pack(">H", 4) + decoy[42:45] * 4 + decoy[45:]
    at = plain.index(b"jp2h") - 4
    box = struct.pack(">I4s", 8 + len(decoy), b"free") + decoy
    codestream = struct.pack(">I4s", 0, b"jp2c") + large
    head = bytearray(plain[at : plain.index(b"jp2c") - 4])
    start = head.index(b"ihdr") + 4
    head[start : start + 10] = struct.pack(">IIH", 16000, 16000, 4)
    return _film(plain[:at] + box + bytes(head) + codestream, JPEG2000)


def jpeg_2000_precincts() -> MemorySource:
    """A codestream of the declared 6144 x 6144 in precincts of one pixel."""
    frame = _frame(RAMP, JPEG2000Lossless)
    sized = (
        frame[:8]
        + struct.pack(">II", 6144, 6144)
        + frame[16:24]
        + struct.pack(">II", 6144, 6144)
        + frame[32:]
    )
    start = sized.index(b"\xff\x52")
    length, levels = int.from_bytes(sized[start + 2 : start + 4], "big"), sized[start + 9]
    segment = bytearray(sized[start : start + 2 + length])
    segment[4] |= 1  # precincts are given
    segment[2:4] = struct.pack(">H", length + levels + 1)
    segment += bytes([0x00] + [0x11] * levels)
    return _film(
        sized[:start] + bytes(segment) + sized[start + 2 + length :],
        JPEG2000Lossless,
        Rows=6144,
        Columns=6144,
    )


def film_of_16384() -> MemorySource:
    """A film of a few bytes that calls itself 16,384 x 16,384."""
    return _film(_frame(RAMP, JPEGLSLossless), JPEGLSLossless, Rows=16384, Columns=16384)


def jpeg_ls_run() -> MemorySource:
    """A few hundred bytes of JPEG-LS that are 6144 x 6144 pixels of one value, the most that is read."""
    frame = _frame(np.zeros((6144, 6144), np.uint16), JPEGLSLossless)
    return _film(frame, JPEGLSLossless, Rows=6144, Columns=6144)


def largest_film() -> MemorySource:
    """An honest film of 6144 x 6144."""
    rows, columns = np.indices((6144, 6144), dtype=np.uint16, sparse=True)
    return source(xray_dataset((rows + columns) // 4))


def deflated() -> MemorySource:
    """A deflated film of 1 MB with a private element of 1 GB of zeros."""
    dataset = xray_dataset(RAMP)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    head = io.BytesIO()
    head.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(head, dataset.file_meta)
    deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflater.compress(struct.pack("<HH2sHI", 0x0009, 0x0010, b"OB", 0, 1 << 30))
    zeros = bytes(16 << 20)
    body += b"".join(deflater.compress(zeros) for _ in range(64)) + deflater.flush()
    return MemorySource({"deflated": head.getvalue() + body})


def large_tags() -> MemorySource:
    """32 slices with 45 MB each, in elements of 4 kB."""
    return _tags(4096, 11_000)


def small_tags() -> MemorySource:
    """32 slices with 45 MB each, in elements of 8 bytes, in items of a private sequence."""
    return _tags(8, 2_800_000)


def _tags(size: int, count: int) -> MemorySource:
    """Slices that share one run of private elements, in a sequence where one group cannot number them."""
    slices = _slices()[:32]
    element = struct.pack("<2sHI", b"UN", 0, size) + bytes(size)
    if count < 0x10000:
        run = b"".join(struct.pack("<HH", 0x0018, 0xA000 + n) + element for n in range(count))
    else:
        item = b"".join(struct.pack("<HH", 0x0019, 0x1000 + n) + element for n in range(40_000))
        items = b"".join(
            struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for _ in range(count // 40_000)
        )
        end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        run = struct.pack("<HH2sHI", 0x0019, 0x1000, b"SQ", 0, 0xFFFFFFFF) + items + end
    files = {}
    for n, dataset in enumerate(slices):
        plain = as_file(dataset)
        at = plain.index(struct.pack("<HH", 0x0020, 0x000D))
        files[f"i{n}"] = (plain, at, run)
    return _Spliced(files)


class _Spliced(MemorySource):
    """Files put together when they are read, so that the test itself stays small."""

    def __init__(self, files: dict[str, tuple[bytes, int, bytes]]) -> None:
        super().__init__(dict.fromkeys(files, b""))
        self._spliced = files

    def read(self, instance_id: str) -> bytes:
        plain, at, run = self._spliced[instance_id]
        return plain[:at] + run + plain[at:]


def nested_sequences() -> MemorySource:
    """A film with sequences in sequences, 100,000 deep."""
    deep = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    deep += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    plain = as_file(xray_dataset(RAMP))
    at = plain.index(struct.pack("<HH", 0x0028, 0x0002))
    return MemorySource({"deep": plain[:at] + deep * 100_000 + plain[at:]})


CASES: dict[str, Callable[[], MemorySource]] = {
    case.__name__: case
    for case in (
        jpeg_2000_components,
        jp2_decoy,
        jpeg_2000_precincts,
        film_of_16384,
        jpeg_ls_run,
        largest_film,
        deflated,
        large_tags,
        small_tags,
        nested_sequences,
    )
}


def read(series: MemorySource) -> str:
    """Screen and decode as the pipelines do: ``read``, the codes that reject, or the error's code."""
    try:
        instances = imaging.read_instances(series)
        if gate.modality_of(instances[0].header) == "ct":
            verdict, chosen = gate.screen_ct(instances)
            if verdict.accepted:
                imaging.read_ct(series, chosen)
        else:
            verdict, chosen = gate.screen_xray(instances)
            if verdict.accepted:
                imaging.read_xray(series, chosen[0])
    except ImagingError as error:
        return f"{error.code}: {error}"
    rejected = [f"{remark.code}: {remark.message}" for remark in verdict.remarks if not verdict.accepted]
    return "; ".join(rejected) or "read"


def _peak(pid: int | str = "self") -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def _helper_peak() -> int:
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return max((_peak(pid) for pid in pids), default=0)


def _main(case: str) -> None:
    series = CASES[case]()
    imported = _peak()
    begun = time.monotonic()
    try:
        outcome = read(series)
    except BaseException as error:  # noqa: BLE001 - the measurement tells whatever comes
        outcome = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - begun
    result = {
        "outcome": outcome,
        "seconds": round(seconds, 2),
        "made": imported,
        "process": _peak(),
        "helper": _helper_peak(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    _main(sys.argv[1])
