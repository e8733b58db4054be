"""What a small picture of a CT shows: the slice on which most is marked, and the outlines of that."""

from __future__ import annotations

import numpy as np

from plugin.analysis.outline import outlines
from plugin.domain.outcome import KeptThumbnail
from plugin.results.pdf.material import CtMaterial

_FINENESS = 128
"""So many steps along a side are told apart: a thumbnail has 64 to 128 pixels."""

_MOST = 16
"""So many outlines are drawn at most, the largest: smaller ones would be dots."""


def thumbnail_of(material: CtMaterial) -> KeptThumbnail:
    """The slice with the largest area of opacities in the lungs, outlined; without any, that with the largest
    area of lungs."""
    marked = material.inside.sum(axis=(1, 2), dtype=np.int64)
    shown = marked if marked.any() else (material.lungs > 0).sum(axis=(1, 2), dtype=np.int64)
    index = int(shown.argmax())
    frame = material.volume.to_frame(material.inside[index]).astype(bool)
    rows, columns = frame.shape
    found = outlines(frame, tolerance=max(rows, columns) / _FINENESS)[:_MOST]
    return KeptThumbnail(
        instance=material.volume.sources[index].instance_id,
        rows=rows,
        columns=columns,
        outlines=tuple(tuple(np.rint(points[:-1]).astype(int).ravel().tolist()) for points in found),
    )
