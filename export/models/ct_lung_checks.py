"""What the score of a projection over the lungs owes to other things than the findings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression

from export.data import ct
from export.data.ct_blocks import Block, LungStack
from export.figures import auc, figure
from export.models import ct_joined_share, ct_lung_train
from export.models.ct_lung_measure import LeftOut
from export.models.ct_lung_table import Axis, Features, Table, of_pictures
from export.models.ct_segment_measure import Reader
from export.networks.lung_map import LungMapNetwork
from plugin.models.cards import Figure

_BATCH = 64
#: Every so many slabs are read once more without their lung.
_EVERY = 3


def checks(
    left_out: LeftOut, networks: Sequence[LungMapNetwork], given: Features, command: str
) -> list[Figure]:
    """The share of dense lung alone; the lungs' shape alone; the source told from the features."""
    return [
        dense_alone(left_out, command),
        shape_alone(left_out, networks, command),
        source_told(left_out, given, command),
    ]


def dense_alone(left_out: LeftOut, command: str) -> Figure:
    """The floor: the share of dense lung voxels, without any network."""
    table = left_out.table
    chosen = _slabs(left_out)
    image = table.image[chosen].astype(np.float32)
    share = (image[:, 1] * image[:, 2]).sum(axis=(1, 2)) / image[:, 2].sum(axis=(1, 2))
    return figure(
        "slab AUC within COVID-19 patients of the share of dense lung alone",
        auc,
        table.label[chosen],
        share.astype(np.float64),
        list(table.name[chosen]),
        measured_on=f"{int(chosen.sum())} slabs of COVID-19 patients",
        command=command,
    )


def shape_alone(left_out: LeftOut, networks: Sequence[LungMapNetwork], command: str) -> Figure:
    """The same slabs with the lungs blacked out: mean and dense share are 0, the depth stays."""
    table = left_out.table
    rows = np.flatnonzero(_slabs(left_out))[::_EVERY]
    logit = np.zeros(len(rows))
    fold = table.fold[rows]
    for number, network in enumerate(networks):
        own = np.flatnonzero(fold == number)
        for start in range(0, len(own), _BATCH):
            part = own[start : start + _BATCH]
            pictures = torch.from_numpy(table.image[rows[part], :3]).float() / 255
            pictures[:, :2] = 0
            logit[part] = ct_lung_train.read(network, of_pictures(network, pictures)).logit
    return figure(
        "slab AUC within COVID-19 patients with the lungs blacked out, only their shape left",
        auc,
        table.label[rows],
        logit,
        list(table.name[rows]),
        measured_on=f"{len(rows)} slabs of COVID-19 patients left out",
        command=command,
    )


def source_told(left_out: LeftOut, given: Features, command: str) -> Figure:
    """How well the frozen features of blocks without findings tell the COVID-19 collections from others."""
    table = left_out.table
    clean = np.flatnonzero((table.label == 0) & np.isin(table.kind, ("most", "healed most", "slab")))
    values = given.plain[torch.from_numpy(clean)].float()
    depth = values[:, 2:3].clamp(min=0)
    pooled = ((values * depth).sum(dim=(2, 3)) / depth.sum(dim=(2, 3)).clamp(min=1e-3)).numpy()
    source, fold = left_out.covid[clean].astype(np.int64), table.fold[clean] % ct.FOLDS
    scores: npt.NDArray[np.float64] = np.zeros(len(clean))
    for out in range(ct.FOLDS):
        own = fold == out
        scores[own] = source_scores(pooled, source, own)
    return source_figure(source, scores, list(table.name[clean]), "blocks", command)


def source_scores(
    features: npt.NDArray[np.float32], source: npt.NDArray[np.int64], left_out: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """How surely the cases that are ``left_out`` come from a ``source`` (n,) by what the ``features``
    (n, channels) of the others tell of it."""
    inside = ~left_out
    centre, spread = features[inside].mean(axis=0), features[inside].std(axis=0) + 1e-3
    model = LogisticRegression(C=1e-2, max_iter=300, class_weight="balanced")
    model.fit((features[inside] - centre) / spread, source[inside])
    return np.asarray(model.decision_function((features[left_out] - centre) / spread))


def source_figure(
    source: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    names: list[str],
    cases: str,
    command: str,
) -> Figure:
    """How well features of cases without findings tell the COVID-19 collections from others."""
    return figure(
        "AUC of telling the source from the features",
        auc,
        source,
        scores,
        names,
        measured_on=f"{len(source)} {cases} without findings, COVID-19 collections against others, patients "
        "left out",
        command=command,
    )


def unseen_lungs(table: Table, axis: Axis, networks: Sequence[LungMapNetwork]) -> npt.NDArray[np.float64]:
    """Logits of the whole volumes of ``table``, over lungs by segmenters that never saw the patients.

    The networks' own training has the lungs of the shipped segmenter, which saw all of them.
    """
    readers: dict[int, Reader] = {}
    logits = []
    for name, fold in zip(table.name, table.fold, strict=True):
        volume = ct.load_volume(str(name))
        lungs = ct_joined_share.marked(str(name), readers).lungs
        whole = Block((0, volume.hu.shape[0]), (0, volume.hu.shape[2]), "whole")
        made = LungStack(volume.hu, lungs, volume.lesion, volume.spacing).project(whole)
        assert made is not None
        image = made.axial if axis == "axial" else made.sagittal
        pictures = torch.from_numpy(image[None, :3]).float() / 255
        own = networks if fold == ct.FOLDS else networks[fold : fold + 1]
        said = [ct_lung_train.read(network, of_pictures(network, pictures)).logit[0] for network in own]
        logits.append(float(np.mean(said)))
    return np.array(logits)


def _slabs(left_out: LeftOut) -> npt.NDArray[np.bool_]:
    """Slabs of COVID-19 patients as they are."""
    table = left_out.table
    return np.asarray(table.measured & (table.kind == "slab") & left_out.covid)
