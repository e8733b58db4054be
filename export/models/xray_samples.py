"""What the X-ray networks learn from: films, everyday variants of them, spoiled films; features once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import nn

from export.data.cxr import COVID, REJECTION, Film, Picture, read_picture
from export.data.cxr_variants import SPOILED, everyday
from export.networks.attention import AttentionClassifier
from plugin.cards import ModelInput
from plugin.models import prepare

_log = logging.getLogger(__name__)
_CHUNK = 256
FILM, EVERYDAY = "film", "everyday"
#: How much each group weighs in all, whatever its number of films. The films of ieee8023 without
#: COVID-19 are few, but the only ones that share the source with those that have it.
GROUP_WEIGHTS = {
    "COVID": 1.0,
    "NON-COVID of ieee8023": 1.0,
    "NON-COVID elsewhere": 0.6,
    "REJECTION": 0.5,
    "spoiled": 0.5,
}


@dataclass(frozen=True)
class Sample:
    """One picture: a film as it is, an everyday variant of it, or spoiled in a way of SPOILED."""

    film: Film
    kind: str
    seed: int = 0

    @property
    def label(self) -> int:
        """The class that the network shall give."""
        return REJECTION if self.kind in SPOILED else self.film.label

    @property
    def group(self) -> str:
        """The group of GROUP_WEIGHTS that it belongs to."""
        if self.kind in SPOILED:
            return "spoiled"
        if self.label == REJECTION:
            return "REJECTION"
        if self.label == COVID:
            return "COVID"
        return "NON-COVID of ieee8023" if self.film.ieee8023 else "NON-COVID elsewhere"

    def picture(self) -> Picture:
        """(rows, columns), 8 bits."""
        picture = read_picture(self.film.path)
        if self.kind == EVERYDAY:
            return everyday(self.seed)(picture)
        if self.kind in SPOILED:
            return SPOILED[self.kind](picture, np.random.default_rng(self.seed))
        return picture


def plan(films: list[Film], *, variants: int, spoiled: int, seed: int = 0) -> list[Sample]:
    """Each film as it is, then ``variants`` everyday variants, then ``spoiled`` of each frontal film."""
    draw = np.random.default_rng(seed)
    samples = [Sample(film, FILM) for film in films]
    for film in films * variants:
        samples.append(Sample(film, EVERYDAY, int(draw.integers(2**31))))
    frontal = [film for film in films if film.frontal]
    kinds = list(SPOILED)
    for index, film in enumerate(frontal * spoiled):
        samples.append(Sample(film, kinds[index % len(kinds)], int(draw.integers(2**31))))
    return samples


def weights(
    samples: list[Sample], groups_weigh: Mapping[str, float] = GROUP_WEIGHTS
) -> npt.NDArray[np.float64]:
    """The weight of each sample, so that groups weigh as in ``groups_weigh``; the mean is 1."""
    groups = np.array([sample.group for sample in samples])
    weight = np.zeros(len(samples))
    for group, total in groups_weigh.items():
        member = groups == group
        weight[member] = total / max(int(member.sum()), 1)
    return weight * len(samples) / weight.sum()


class _Frozen(nn.Module):
    """The frozen parts' features, and what the whole trunk pools to before any training."""

    def __init__(self, network: AttentionClassifier, frozen: int) -> None:
        super().__init__()
        parts = network.trunk.parts()
        self.frozen, self.tail = nn.Sequential(*parts[:frozen]), nn.Sequential(*parts[frozen:])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, 3, H, W) to features (1, c, h, w) and pooled features (1, channels)."""
        features = self.frozen(image)
        return features, self.tail(features).mean(dim=(2, 3))


@dataclass(frozen=True)
class Features:
    """``maps`` (samples, c, h, w) after the frozen parts, float16; ``pooled`` (samples, channels), or no
    channels where nothing is frozen."""

    maps: npt.NDArray[np.float16]
    pooled: npt.NDArray[np.float32]


def extractor(
    network: AttentionClassifier, frozen: int, spec: ModelInput, folder: Path
) -> Callable[[list[Picture]], Features]:
    """A function from pictures to Features, by ONNX Runtime, several times faster than PyTorch here.

    Without frozen parts the maps are the prepared pictures' first channel, for all channels are equal,
    and nothing is pooled.
    """
    if frozen == 0:
        return partial(_pictures, spec)
    path = folder / "frozen.onnx"
    program = torch.onnx.export(
        _Frozen(network, frozen).eval(), (torch.zeros(spec.shape),), dynamo=True, verbose=False
    )
    assert program is not None
    program.save(path, external_data=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = onnxruntime.get_available_providers()
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    name = session.get_inputs()[0].name

    def extract(pictures: list[Picture]) -> Features:
        found = [session.run(None, {name: prepare(spec, picture)[None]}) for picture in pictures]
        maps = np.concatenate([features for features, _ in found]).astype(np.float16)
        return Features(maps, np.concatenate([pooled for _, pooled in found]))

    return extract


def _pictures(spec: ModelInput, pictures: list[Picture]) -> Features:
    maps = np.stack([prepare(spec, picture)[:1] for picture in pictures]).astype(np.float16)
    return Features(maps, np.zeros((len(pictures), 0), dtype=np.float32))


def features_of(
    samples: list[Sample], extract: Callable[[list[Picture]], Features], folder: Path, key: str
) -> Features:
    """The features of all samples. Chunks are kept in ``folder``; those that are there are read.

    ``key`` says whatever else than the samples the features depend on.
    """
    maps, pooled = [], []
    for start in range(0, len(samples), _CHUNK):
        chunk = samples[start : start + _CHUNK]
        name = hashlib.sha256(f"{key} {chunk}".encode()).hexdigest()[:16]
        path = folder / f"features-{name}.npz"
        if not path.is_file():
            _log.info("features of samples %d to %d of %d", start, start + _CHUNK, len(samples))
            found = extract([sample.picture() for sample in chunk])
            part = path.with_suffix(".part.npz")
            np.savez(part, maps=found.maps, pooled=found.pooled)
            part.replace(path)
        with np.load(path) as stored:
            maps.append(stored["maps"])
            pooled.append(stored["pooled"])
    return Features(np.concatenate(maps), np.concatenate(pooled))
