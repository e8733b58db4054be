"""How pictures, projections and volumes come to a network: the part ``input`` of a model card."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

_T = TypeVar("_T")
Positive = Annotated[float, Field(gt=0)]

_AXES = {"S": 0, "I": 0, "P": 1, "A": 1, "L": 2, "R": 2}
"""The axes of the canonical volume: slices, rows, columns."""


class Strict(BaseModel):
    """Base of every part of a card: a misspelt key is an error, and a card never changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HuWindow(Strict):
    """Hounsfield units clipped to [low, high] and scaled to [0, 1]."""

    rule: Literal["hu_window"] = "hu_window"
    low: float
    high: float


class Percentiles(Strict):
    """Display values clipped to two percentiles of the picture (0-100) and scaled to [0, 1]."""

    rule: Literal["percentiles"] = "percentiles"
    low: float = Field(ge=0, lt=50)
    high: float = Field(gt=50, le=100)


class Equalise(Strict):
    """Histogram equalisation of the whole picture to [0, 1]."""

    rule: Literal["equalise"] = "equalise"


Intensity = Annotated[HuWindow | Percentiles | Equalise, Field(discriminator="rule")]


class Resize(Strict):
    """How a picture comes to the size of the network.

    ``stretch`` brings it to the input shape whatever its aspect; ``short_side`` scales so that its
    shorter side has ``size`` pixels, and a central crop of the input shape follows.
    Interpolation is always bilinear with antialiasing (``plugin.analysis.preprocess.resize``).
    """

    mode: Literal["stretch", "short_side"]
    size: int | None = None

    @model_validator(mode="after")
    def _size_belongs_to_short_side(self) -> Resize:
        if (self.mode == "short_side") != (self.size is not None):
            raise ValueError("resize.size is required for mode short_side, and only there")
        return self


class Projection(Strict):
    """Which mean projections of a CT volume the network reads, and over which voxels.

    ``axial``: the mean along the body axis, rows towards posterior, columns towards the patient's left.
    ``sagittal``: the mean along left-right, rows from head to feet, columns towards posterior.
    ``orthogonal``: the axial, the sagittal and the coronal mean, a channel each; the coronal is the mean
    along front-back, rows from head to feet, columns towards the patient's left.
    HU are clipped to the card's window before the mean is taken.

    ``over``: ``body``, all voxels; or ``lungs``, those that the segmenter in use gives to the lungs. Then the
    network has three channels, cut to the box of the lungs: the mean HU of a ray's lung voxels in the card's
    window, the share of them from ``dense_hu`` on, and the lung's depth, of which ``depth_mm`` is 1. Before
    that the HU are shifted so that the tenth percentile of the lungs lies at ``level_hu``
    (``plugin.analysis.lung_projection``).
    """

    axis: Literal["axial", "sagittal", "orthogonal"]
    over: Literal["body", "lungs"] = "body"
    level_hu: float | None = None
    dense_hu: float | None = None
    depth_mm: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _scales_belong_to_lungs(self) -> Projection:
        lungs = self.over == "lungs"
        if any(lungs == (scale is None) for scale in (self.level_hu, self.dense_hu, self.depth_mm)):
            raise ValueError(
                "level_hu, dense_hu and depth_mm are required for a projection over lungs, and only there"
            )
        if lungs and self.axis == "orthogonal":
            raise ValueError("a projection over lungs is axial or sagittal")
        return self


class Volumetric(Strict):
    """How a volume comes to a network: patch by patch to a segmenter, in one patch to a classifier.

    ``orientation``: to where the patch's axes run, as nibabel writes it: S(uperior) or I(nferior),
    P(osterior) or A(nterior), L(eft) or R(ight); MONAI's networks mostly have ``RAS``.
    ``spacing``: mm between voxels along the patch's axes. ``overlap``: by what share of their sides
    neighbouring patches overlap at least. ``crop``: what is read, with ``margin`` mm around it: the ``lungs``
    that a slice-wise network found, or the ``body``.

    ``context``: a classifier has it, and reads the segmented volume: two channels, the image in the card's
    window where the leading segmenter marks opacities in the lungs or no farther than ``context`` mm from
    them, 0 elsewhere, and the mask of these opacities, 0 to 1. The lungs' box lies in the middle of its one
    patch, 0 around it; along an axis along which it would not fit its spacing is wider
    (``plugin.analysis.segmented_volume``).
    """

    orientation: str = Field(default="SPL", pattern=r"^[SIPALR]{3}$")
    spacing: tuple[Positive, Positive, Positive]
    overlap: float = Field(default=0.5, ge=0, le=0.9)
    crop: Literal["lungs", "body"] = "lungs"
    margin: float = Field(default=10.0, ge=0)
    context: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _lesions_are_in_lungs(self) -> Volumetric:
        if self.context is not None and self.crop != "lungs":
            raise ValueError("a network with context reads the lungs: crop must be lungs")
        return self

    @model_validator(mode="after")
    def _one_axis_each(self) -> Volumetric:
        if {_AXES[letter] for letter in self.orientation} != {0, 1, 2}:
            raise ValueError("orientation needs one of S and I, one of P and A, one of L and R")
        return self

    @property
    def axes(self) -> tuple[int, int, int]:
        """For each axis of the patch, that of the canonical volume (slices, rows, columns)."""
        first, second, third = (_AXES[letter] for letter in self.orientation)
        return first, second, third

    def canonical(self, values: tuple[_T, _T, _T]) -> tuple[_T, _T, _T]:
        """Three values along the patch's axes in the order of the canonical volume's."""
        first, second, third = (values[self.axes.index(axis)] for axis in range(3))
        return first, second, third

    @property
    def reversed(self) -> tuple[bool, bool, bool]:
        """Which axes of the patch run against the canonical volume's (to the head, posterior, left)."""
        first, second, third = (letter not in "SPL" for letter in self.orientation)
        return first, second, third


class ModelInput(Strict):
    """The network's input: name in the graph, fixed shape, and how it is made.

    ``shape`` is (N, C, H, W), or (N, C, D, H, W) for a network that reads a volume, which then has
    ``volume`` and is resampled where others are resized.
    """

    name: str
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=4, max_length=5)
    intensity: Intensity
    resize: Resize = Resize(mode="stretch")
    mean: tuple[float, ...]
    std: tuple[float, ...]
    projection: Projection | None = None
    volume: Volumetric | None = None

    @property
    def view(self) -> str | None:
        """What of a CT a classifier or rejector reads: the axis of a projection, or ``volume`` for the
        segmented volume; None for a network that reads slices, patches or films."""
        if self.projection is not None:
            return self.projection.axis
        return "volume" if self.volume is not None and self.volume.context is not None else None

    @property
    def patch(self) -> tuple[int, int, int]:
        """What a network that reads a volume takes of it at a time."""
        first, second, third = self.shape[2:]
        return first, second, third

    @model_validator(mode="after")
    def _five_axes_for_a_volume(self) -> ModelInput:
        if (len(self.shape) == 5) != (self.volume is not None):
            raise ValueError("a shape of five numbers needs input.volume, and only that")
        if self.volume and (self.projection or self.resize.mode != "stretch"):
            raise ValueError("a volume is neither projected nor brought to a shorter side")
        return self

    @model_validator(mode="after")
    def _image_and_mask_of_lesions(self) -> ModelInput:
        if self.volume and self.volume.context is not None and self.shape[1] != 2:
            raise ValueError("a segmented volume has two channels, the image and the mask")
        return self

    @model_validator(mode="after")
    def _one_statistic_per_channel(self) -> ModelInput:
        if not len(self.mean) == len(self.std) == self.shape[1]:
            raise ValueError(f"mean and std must have {self.shape[1]} values, one per channel")
        return self

    @model_validator(mode="after")
    def _one_channel_per_projection(self) -> ModelInput:
        if self.projection and self.shape[1] != 3:
            if self.projection.axis == "orthogonal":
                raise ValueError("orthogonal projections need three channels")
            if self.projection.over == "lungs":
                raise ValueError("a projection over lungs needs three channels")
        return self

    @model_validator(mode="after")
    def _lungs_are_stretched(self) -> ModelInput:
        if self.projection and self.projection.over == "lungs" and self.resize.mode != "stretch":
            raise ValueError("a projection over lungs is stretched to the input")
        return self
