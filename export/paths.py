"""Where the data, the runs and the finished models are."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ONNX_MODELS = REPOSITORY / "onnx_models"


def data_folder() -> Path:
    """The folder of training data: ``CHEST_AI_DATA``, or ``../shared/data`` beside the repository.

    Raises FileNotFoundError where there is none.
    """
    folder = Path(os.environ.get("CHEST_AI_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        raise FileNotFoundError(f"no training data in {folder}; set CHEST_AI_DATA")
    return folder


def runs_folder(name: str) -> Path:
    """The folder of checkpoints and caches of ``name``, made if need be.

    It lies in ``CHEST_AI_RUNS``, or in ``runs`` of the repository, which git ignores.
    """
    folder = Path(os.environ.get("CHEST_AI_RUNS", REPOSITORY / "runs")) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
