"""Blocks of all volumes with what the frozen part of a network gives of them; cached volume by volume."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from export.data import ct
from export.data.ct_blocks import SIZE, blocks_of, projected, stacks
from export.data.ct_segment import deform
from export.data.rows import Rows, folds_of
from export.networks.lite import MEAN, STD
from export.networks.lung_map import LungMapNetwork
from export.paths import runs_folder

_log = logging.getLogger(__name__)
Axis = Literal["axial", "sagittal"]
#: Blocks of a volume as it is, and of the same healed or with made-up opacities.
_REAL, _CHANGED = 180, 90
_CELL = 8
_BATCH = 16


@dataclass(frozen=True)
class Table(Rows):
    """Rows of blocks. ``image`` (n, 4, SIZE, SIZE) bytes: three channels and the share of lesion; ``label``
    and ``kind``; ``coverage``: the share of the volume's lungs; ``block`` (n, 4): slices and columns, each
    from and up to; ``name``: the volume's."""

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.int64]
    kind: npt.NDArray[np.str_]
    coverage: npt.NDArray[np.float64]
    block: npt.NDArray[np.int64]
    name: npt.NDArray[np.str_]

    @property
    def measured(self) -> npt.NDArray[np.bool_]:
        """Which rows are as they may come from a scanner."""
        changed = [kind.startswith(("healed", "made-up")) for kind in self.kind]
        return ~np.array(changed, dtype=np.bool_)

    @property
    def fold(self) -> npt.NDArray[np.int64]:
        """The fold of each row's patient; that of the DICOM chest, in no training, is FOLDS."""
        return folds_of(self.name)


@dataclass(frozen=True)
class Features:
    """What the frozen part gives (n, channels, h, w) and the share of lesion at each place (n, h, w), of the
    pictures as they are and once varied; float16."""

    plain: Tensor
    varied: Tensor
    target: Tensor
    target_varied: Tensor


def volumes() -> list[str]:
    """All chests, the one kept as DICOM last."""
    return [*ct.chest_names(), ct.DICOM_CHEST]


def table(axis: Axis) -> Table:
    """The blocks of all volumes, as projected along ``axis``."""
    return Table.joined([_blocks(name, axis) for name in volumes()])


def features(axis: Axis, network: LungMapNetwork) -> Features:
    """What the frozen part of ``network`` gives of the rows of :func:`table`."""
    parts = [_features(name, axis, network) for name in volumes()]
    keys = ("plain", "varied", "tplain", "tvaried")
    return Features(*(torch.from_numpy(np.concatenate([part[key] for part in parts])) for key in keys))


def _blocks(name: str, axis: Axis) -> Table:
    cache = runs_folder("ct-blocks") / f"{name}.npz"
    if not cache.exists():
        draw = np.random.default_rng(1000 + volumes().index(name))
        rows = []
        for change, stack in stacks(ct.load_volume(name), draw):
            drawn = list(blocks_of(stack, _CHANGED if change else _REAL, draw))
            rows += [(change + made.block.kind, made) for made in projected(stack, drawn)]
        np.savez_compressed(
            cache,
            axial=np.stack([made.axial for _, made in rows]),
            sagittal=np.stack([made.sagittal for _, made in rows]),
            label=np.array([made.label for _, made in rows]),
            kind=np.array([kind for kind, _ in rows]),
            cov=np.array([made.coverage for _, made in rows]),
            block=np.array([(*made.block.slices, *made.block.columns) for _, made in rows]),
        )
        _log.info("%s: %d blocks", name, len(rows))
    with np.load(cache) as kept:
        return Table(
            image=kept[axis],
            label=kept["label"],
            kind=kept["kind"],
            coverage=kept["cov"],
            block=kept["block"],
            name=np.full(len(kept["label"]), name),
        )


def _features(name: str, axis: Axis, network: LungMapNetwork) -> dict[str, npt.NDArray[np.float16]]:
    cache = runs_folder("ct-blocks") / f"feat-{axis}-{name}.npz"
    if not cache.exists():
        values = torch.from_numpy(_blocks(name, axis).image).float() / 255
        draw = torch.Generator().manual_seed(volumes().index(name))
        found = {}
        for kind, pictures in (("plain", values), ("varied", vary(values, draw, axis))):
            given = [of_pictures(network, part[:, :3]).half().numpy() for part in pictures.split(_BATCH)]
            found[kind] = np.concatenate(given)
            found[f"t{kind}"] = share_of_lesion(pictures).half().numpy()
        np.savez(
            cache,
            plain=found["plain"],
            varied=found["varied"],
            tplain=found["tplain"],
            tvaried=found["tvaried"],
        )
        _log.info("%s, %s: features", name, axis)
    with np.load(cache) as kept:
        return {key: kept[key] for key in kept.files}


def of_pictures(network: LungMapNetwork, pictures: Tensor) -> Tensor:
    """What the frozen part of a network gives of pictures (n, 3, SIZE, SIZE) in [0, 1]."""
    values = ((pictures - MEAN[0]) / STD[0]).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return network.features(values)


def share_of_lesion(pictures: Tensor) -> Tensor:
    """The share of the lung at each place (n, h, w) that is lesion, of pictures with that channel."""
    depth = functional.avg_pool2d(pictures[:, 2], _CELL)
    lesion = functional.avg_pool2d(pictures[:, 3] * pictures[:, 2], _CELL)
    return (lesion / depth.clamp(min=1e-4)).clamp(0, 1)


def vary(pictures: Tensor, draw: torch.Generator, axis: Axis) -> Tensor:
    """Geometry of all channels (flips only where left and right are the columns), greys of each channel."""
    assert pictures.shape[-1] == SIZE
    values = deform(pictures, draw, flip=axis == "axial")
    shape = (len(values), 1, 1, 1)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=draw)

    lung = (values[:, 2:3] > 0.002).float()
    gain, shift = between(0.9, 1.1), between(-0.025, 0.025)
    mean = (values[:, :1] * gain + shift).clamp(0, 1) * lung
    dense = (values[:, 1:2] * between(0.75, 1.25)).clamp(0, 1)
    depth = (values[:, 2:3] * between(0.8, 1.25)).clamp(0, 1)
    noise = torch.randn(mean.shape, generator=draw) * between(0, 0.02) * lung
    return torch.cat([(mean + noise).clamp(0, 1), dense, depth, values[:, 3:]], dim=1)
