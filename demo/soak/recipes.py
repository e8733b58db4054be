"""What is made of the phantom's X-ray and CT before it is sent: as it is, to be rejected, or odd."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from demo.client import SETTLED

DONE, REJECTED, NOT_READ = ("done",), ("rejected",), ()

Images = list[Dataset]


@dataclass(frozen=True, kw_only=True)
class Made:
    """The images of a series; the states that it may end in, none where it is not to be read at all.

    ``syntax``: the transfer syntax that they are to be written in, None for the one they have.
    """

    images: Images
    expected: Collection[str] = SETTLED
    syntax: UID | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a series is made of one of the base studies, and how often beside the others."""

    base: Literal["xray", "ct"]
    change: Callable[[Images, random.Random], Made]
    share: float


def _as_it_is(images: Images, _rng: random.Random) -> Made:
    return Made(images=images, expected=DONE)


def _compressed(images: Images, rng: random.Random) -> Made:
    syntax = rng.choice([JPEGLSLossless, JPEG2000Lossless, RLELossless])
    return Made(images=images, expected=DONE, syntax=syntax)


def _shuffled(images: Images, rng: random.Random) -> Made:
    rng.shuffle(images)
    return Made(images=images, expected=DONE, syntax=ImplicitVRLittleEndian)


def _of_a_hip(images: Images, _rng: random.Random) -> Made:
    for image in images:
        image.BodyPartExamined = "HIP"
        del image.AnatomicRegionSequence
    return Made(images=images, expected=REJECTED)


def _without_patient(images: Images, _rng: random.Random) -> Made:
    for image in images:
        for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate"):
            image[keyword].value = ""
    return Made(images=images, expected=DONE)


def _of_five_slices(images: Images, _rng: random.Random) -> Made:
    return Made(images=images[:5], expected=REJECTED)


def _of_localizers(images: Images, _rng: random.Random) -> Made:
    for image in images:
        image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return Made(images=images[:2], expected=REJECTED)


def _one_missing(images: Images, rng: random.Random) -> Made:
    del images[rng.randrange(1, len(images) - 1)]
    return Made(images=images)


def _one_twice(images: Images, rng: random.Random) -> Made:
    again = copy.deepcopy(rng.choice(images))
    again.SOPInstanceUID = generate_uid(entropy_srcs=["twice", again.SOPInstanceUID])
    return Made(images=[*images, again])


def _odd_header(images: Images, rng: random.Random) -> Made:
    """Attributes that many devices leave empty, some of them in one slice only."""
    optional = ("SliceThickness", "SpacingBetweenSlices", "KVP", "BodyPartExamined", "PatientPosition")
    for keyword in rng.sample(optional, 2):
        for image in images if rng.random() < 0.5 else images[:1]:
            image[keyword].value = None
    return Made(images=images)


def _without_modality(images: Images, _rng: random.Random) -> Made:
    for image in images:
        image.Modality = ""
    return Made(images=images)


def _magnetic_resonance(images: Images, _rng: random.Random) -> Made:
    for image in images:
        image.Modality, image.SOPClassUID = "MR", MRImageStorage
    return Made(images=images[:3], expected=NOT_READ)


RECIPES = {
    "xray": Recipe(base="xray", change=_as_it_is, share=4),
    "xray compressed": Recipe(base="xray", change=_compressed, share=2),
    "xray of a hip": Recipe(base="xray", change=_of_a_hip, share=1),
    "xray without patient": Recipe(base="xray", change=_without_patient, share=0.5),
    "ct": Recipe(base="ct", change=_as_it_is, share=3),
    "ct compressed": Recipe(base="ct", change=_compressed, share=1),
    "ct shuffled": Recipe(base="ct", change=_shuffled, share=1),
    "ct of five slices": Recipe(base="ct", change=_of_five_slices, share=1),
    "ct of localizers": Recipe(base="ct", change=_of_localizers, share=0.5),
    "ct with a slice missing": Recipe(base="ct", change=_one_missing, share=0.5),
    "ct with a slice twice": Recipe(base="ct", change=_one_twice, share=0.5),
    "ct with an odd header": Recipe(base="ct", change=_odd_header, share=1),
    "ct without modality": Recipe(base="ct", change=_without_modality, share=0.5),
    "mr": Recipe(base="ct", change=_magnetic_resonance, share=0.5),
}
