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
from export.models.xray_training import Inputs
from plugin.models.cards import ModelInput
from plugin.models.network import prepare

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
    "spoiled": 1.0,
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


class _Pooled(nn.Module):
    """A trunk and the mean over its map."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) to (1, channels)."""
        features: torch.Tensor = self.trunk(image)
        return features.mean(dim=(2, 3))


def extractor(trunk: nn.Module | None, spec: ModelInput, folder: Path) -> Callable[[list[Picture]], Inputs]:
    """A function from pictures to a frozen trunk's pooled features (n, channels).

    By ONNX Runtime, several times faster than PyTorch here. Without a trunk the function gives the prepared
    pictures' first channel (n, 1, H, W), for all channels are equal.
    """
    if trunk is None:
        return partial(_pictures, spec)
    path = folder / "frozen.onnx"
    program = torch.onnx.export(_Pooled(trunk).eval(), (torch.zeros(spec.shape),), dynamo=True, verbose=False)
    assert program is not None
    program.save(path, external_data=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = onnxruntime.get_available_providers()
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    name = session.get_inputs()[0].name

    def extract(pictures: list[Picture]) -> Inputs:
        found = [session.run(None, {name: prepare(spec, picture)[None]})[0] for picture in pictures]
        return np.concatenate(found).astype(np.float32)

    return extract


def _pictures(spec: ModelInput, pictures: list[Picture]) -> Inputs:
    return np.stack([prepare(spec, picture)[:1] for picture in pictures]).astype(np.float16)


def inputs_of(
    samples: list[Sample], extract: Callable[[list[Picture]], Inputs], folder: Path, key: str
) -> Inputs:
    """What ``extract`` gives of all samples. Chunks are kept in ``folder``; those that are there are read.

    ``key`` says whatever else than the samples it depends on.
    """
    parts = []
    for start in range(0, len(samples), _CHUNK):
        chunk = samples[start : start + _CHUNK]
        name = hashlib.sha256(f"{key} {chunk}".encode()).hexdigest()[:16]
        path = folder / f"inputs-{name}.npy"
        if not path.is_file():
            _log.info("inputs of samples %d to %d of %d", start, start + _CHUNK, len(samples))
            part = path.with_suffix(".part.npy")
            np.save(part, extract([sample.picture() for sample in chunk]))
            part.replace(path)
        parts.append(np.load(path))
    return np.concatenate(parts)
