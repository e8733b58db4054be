"""The closed lists of the domain: modalities, kinds of results, codes of remarks.

Each is a ``StrEnum``: its members are the very strings that the ledger, the routes and the settings hold.
"""

from __future__ import annotations

from enum import StrEnum


class Modality(StrEnum):
    """What is read: a chest X-ray or a chest CT."""

    XRAY = "xray"
    CT = "ct"


class State(StrEnum):
    """Where a series stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"


class Impression(StrEnum):
    """What a reading comes to, as a reader sorts it."""

    POSITIVE = "positive"
    BORDERLINE = "borderline"
    """Near the operating point, or outlines and classifiers that do not agree."""
    NEGATIVE = "negative"


class ResultKind(StrEnum):
    """The kinds of DICOM objects that a reading makes, in the order in which the routes name them."""

    SR = "sr"
    SEG = "seg"
    PDF = "pdf"
    ATTENTION = "attention"
    KEY_IMAGES = "key_images"


class RemarkCode(StrEnum):
    """What a remark says, for programs. ``texts.toml`` has words for each in every other language."""

    # Header rules of both modalities
    BODY_PART = "body_part"
    FEW_COLUMNS = "few_columns"
    FEW_ROWS = "few_rows"
    NO_INSTANCES = "no_instances"
    NO_PIXEL_DATA = "no_pixel_data"
    PHOTOMETRIC_INTERPRETATION = "photometric_interpretation"
    SAMPLES_PER_PIXEL = "samples_per_pixel"
    SECONDARY_IMAGE = "secondary_image"
    SOP_CLASS = "sop_class"
    # Header rules of X-rays
    ASPECT = "aspect"
    BURNED_IN_ANNOTATION = "burned_in_annotation"
    DERIVED_IMAGE = "derived_image"
    FOR_PROCESSING = "for_processing"
    MANY_PIXELS = "many_pixels"
    NUMBER_OF_FRAMES = "number_of_frames"
    PRESENTATION_INTENT = "presentation_intent"
    QUALITY_CONTROL_IMAGE = "quality_control_image"
    SEVERAL_IMAGES = "several_images"
    VIEW_POSITION = "view_position"
    YOUNG_PATIENT = "young_patient"
    # Header rules of CT
    DUPLICATE_POSITIONS = "duplicate_positions"
    ENHANCED_CT = "enhanced_ct"
    EXTENT = "extent"
    FEW_SLICES = "few_slices"
    FRAME_OF_REFERENCE_VARIES = "frame_of_reference_varies"
    LOCALIZER = "localizer"
    LOCALIZERS_LEFT_OUT = "localizers_left_out"
    LONG_EXTENT = "long_extent"
    LOSSY_COMPRESSION = "lossy_compression"
    MANY_SLICES = "many_slices"
    MANY_VOXELS = "many_voxels"
    MISSING_SLICES = "missing_slices"
    NOT_AXIAL = "not_axial"
    NO_FRAME_OF_REFERENCE = "no_frame_of_reference"
    NO_ORIENTATION = "no_orientation"
    NO_PIXEL_SPACING = "no_pixel_spacing"
    NO_POSITION = "no_position"
    NO_RESCALE = "no_rescale"
    ORIENTATION_VARIES = "orientation_varies"
    PIXEL_SPACING = "pixel_spacing"
    PIXEL_SPACING_VARIES = "pixel_spacing_varies"
    RESCALE_SLOPE = "rescale_slope"
    SHIFTED_SLICES = "shifted_slices"
    SHORT_EXTENT = "short_extent"
    SIZE_VARIES = "size_varies"
    SLICE_DISTANCE = "slice_distance"
    SLICE_THICKNESS = "slice_thickness"
    THICK_SLICES = "thick_slices"
    TILTED = "tilted"
    UNEVEN_SPACING = "uneven_spacing"
    UNEVEN_SPACING_SMALL = "uneven_spacing_small"
    VERY_THICK_SLICES = "very_thick_slices"
    # Pixels
    HU_RANGE = "hu_range"
    INCONSISTENT_PIXELS = "inconsistent_pixels"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    UNDECODABLE = "undecodable"
    UNREADABLE = "unreadable"
    UNREADABLE_INSTANCE = "unreadable_instance"
    UNUSABLE_GEOMETRY = "unusable_geometry"
    # Networks and measurements
    FINDINGS_NOT_CALLED = "findings_not_called"
    LUNGS_CUT_APEX = "lungs_cut_apex"
    LUNGS_CUT_BASE = "lungs_cut_base"
    NETWORK_REJECTION = "network_rejection"
    NOT_CLASSIFIED = "not_classified"
    NOT_SCREENED = "not_screened"
    NOT_SEGMENTED = "not_segmented"
    NO_FINDINGS = "no_findings"
    NO_LEFT_LUNG = "no_left_lung"
    NO_LUNGS = "no_lungs"
    NO_RIGHT_LUNG = "no_right_lung"


LUNGS_CUT = frozenset({RemarkCode.LUNGS_CUT_APEX, RemarkCode.LUNGS_CUT_BASE})
"""The remarks that say that part of the lungs lies outside the images."""

LUNGS_INCOMPLETE = LUNGS_CUT | {RemarkCode.NO_LEFT_LUNG, RemarkCode.NO_RIGHT_LUNG}
"""The remarks after which percentages of the lungs cannot be compared with those of another day."""
