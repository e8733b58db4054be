"""What the X-ray networks read: films, everyday variants, spoiled films; the first part's answers once."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import nn

from export.data.cxr import IEEE8023, NIH, REJECTION, SIIM, Film, Picture, box_mask, read_picture
from export.data.cxr_variants import SPOILED, everyday
from plugin.models.inputs import ModelInput
from plugin.models.network import prepare

_log = logging.getLogger(__name__)
FILM, EVERYDAY = "film", "everyday"
#: Everyday variants of each picture that is to be rejected, as these are few.
_REJECTION_VARIANTS = 3
#: One film of so many of each source is spoiled.
_SPOILED_OF = {SIIM: 3, "rsna": 3, "covid-cxnet": 2}
#: Pixels along each side of a place of the map.
PLACE = 16


@dataclass(frozen=True)
class Sample:
    """One picture: a film as it is, an everyday variant of it, or spoiled in a way of SPOILED."""

    film: Film
    kind: str = FILM
    seed: int = 0

    @property
    def rejected(self) -> bool:
        """Whether the network shall refuse it."""
        return self.kind in SPOILED or self.film.label == REJECTION

    def picture(self, size: int) -> tuple[Picture, Picture]:
        """The picture (rows, columns), 8 bits, and the mask of the film's boxes, 255 inside."""
        picture = read_picture(self.film.path)
        if self.kind in SPOILED:
            spoiled = SPOILED[self.kind](picture, np.random.default_rng(self.seed))
            return spoiled, np.zeros((size, size), np.uint8)
        mask = box_mask(self.film, size, size)
        if self.kind == EVERYDAY:
            return everyday(picture, mask, self.seed, size)
        return picture, mask


@dataclass(frozen=True)
class Inputs:
    """Of each of n samples what the network's first part gave, float16 (n, channels, h, w), and its boxes.

    ``masks`` are uint8 (n, h, w): the share of each place inside a box, 255 for all of it.
    """

    features: npt.NDArray[np.float16]
    masks: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Views:
    """Several pictures of each of n films, as a network reads them but for its normalisation.

    ``pictures`` are uint8 (views, n, H, W), ``masks`` uint8 (views, n, h, w) as those of Inputs.
    """

    pictures: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]


def read_views(films: list[Film], count: int, spec: ModelInput, folder: Path) -> Views:
    """The films as they are and ``count`` - 1 everyday variants of each; kept in ``folder``."""
    samples = [sample for number in range(count) for sample in view(films, number)]
    size = spec.shape[2]
    path = folder / f"views-{size}-{key_of(samples)}.npy"
    masks = path.with_suffix(".masks.npy")
    if not path.is_file():
        _log.info("making %d views of %d films", count, len(films))
        part = path.with_suffix(".part.npy")
        pictures = np.lib.format.open_memmap(part, "w+", np.uint8, (count * len(films), size, size))
        places = np.zeros((len(pictures), size // PLACE, size // PLACE), np.uint8)
        with ProcessPoolExecutor() as workers:
            for place, found in enumerate(workers.map(partial(_seen, spec), samples, chunksize=64)):
                pictures[place], places[place] = found
        pictures.flush()
        np.save(masks, places)
        part.replace(path)
    shape = (count, len(films))
    kept, places = np.load(path), np.load(masks)
    return Views(kept.reshape(*shape, *kept.shape[1:]), places.reshape(*shape, *places.shape[1:]))


def _seen(spec: ModelInput, sample: Sample) -> tuple[Picture, Picture]:
    picture, mask = sample.picture(spec.shape[2])
    values = prepare(spec, picture)[0] * spec.std[0] + spec.mean[0]
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8), shares(mask)


def shares(mask: Picture) -> Picture:
    """A mask (H, W), 255 inside, as the share of each place of the map that is inside, 255 for all of it."""
    rows, columns = mask.shape
    return mask.reshape(rows // PLACE, PLACE, columns // PLACE, PLACE).mean(axis=(1, 3)).astype(np.uint8)


def view(films: list[Film], number: int) -> list[Sample]:
    """The films as they are (0), or everyday variants of them, others for each ``number``."""
    if number == 0:
        return [Sample(film) for film in films]
    return [Sample(film, EVERYDAY, number * 1_000_000 + place) for place, film in enumerate(films)]


def to_reject(films: list[Film]) -> list[Sample]:
    """Variants for the rejection: of the films of ``cxr/``, and spoiled films of all collections."""
    samples, kinds = [], list(SPOILED)
    draw = np.random.default_rng(0)
    for film in films:
        count = 1 if film.source in (IEEE8023, NIH) else 0
        count = count if film.frontal else _REJECTION_VARIANTS
        samples += [Sample(film, EVERYDAY, int(draw.integers(2**31))) for _ in range(count)]
    for source in dict.fromkeys(film.source for film in films):
        own = [film for film in films if film.source == source and film.frontal]
        for place, film in enumerate(own[:: _SPOILED_OF.get(source, 1)]):
            samples.append(Sample(film, kinds[place % len(kinds)], int(draw.integers(2**31))))
    return samples


class Reader:
    """Pictures to the answers of a trained network's first part, which are kept in ``folder``.

    By ONNX Runtime, several times faster than PyTorch here.
    """

    def __init__(self, front: nn.Module, spec: ModelInput, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        path = folder / "front.onnx"
        program = torch.onnx.export(front.eval(), (torch.zeros(spec.shape),), dynamo=True, verbose=False)
        assert program is not None
        program.save(path, external_data=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            path, options, providers=onnxruntime.get_available_providers()
        )
        self._name = self._session.get_inputs()[0].name

    def features(self, picture: Picture) -> npt.NDArray[np.float16]:
        """A picture (rows, columns) to the first part's answer (channels, h, w)."""
        answer = self._session.run(None, {self._name: prepare(self.spec, picture)[None]})[0][0]
        return np.asarray(answer, dtype=np.float16)

    def _read(self, sample: Sample) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]:
        picture, mask = sample.picture(self.spec.shape[2])
        return self.features(picture), shares(mask)

    def inputs(self, name: str, samples: list[Sample]) -> Inputs:
        """The answers of all ``samples``; those of the same ``name`` and samples are read if they are there.

        After a change of ``cxr_variants`` the folder has to be emptied.
        """
        path = self.folder / f"{name}-{key_of(samples)}.npy"
        masks = path.with_suffix(".masks.npy")
        if not path.is_file():
            _log.info("reading %d pictures of %s", len(samples), name)
            found = [self._read(sample) for sample in samples]
            np.save(masks, np.stack([mask for _, mask in found]))
            part = path.with_suffix(".part.npy")
            np.save(part, np.stack([features for features, _ in found]))
            part.replace(path)
        return Inputs(np.load(path, mmap_mode="r"), np.load(masks))


def key_of(samples: list[Sample]) -> str:
    """What tells one list of samples from another, in twelve hexadecimal digits."""
    told = "\n".join(f"{s.film.path.name} {s.kind} {s.seed}" for s in samples)
    return hashlib.sha256(told.encode()).hexdigest()[:12]
