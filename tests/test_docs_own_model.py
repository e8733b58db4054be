"""The example in docs/own-model.md: a MONAI network becomes a folder that the plugin reads with."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
pytest.importorskip("monai", reason="MONAI is only needed for training and export")

from plugin.models.lineup import load_lineup
from plugin.pipelines.ct_segment import segment_all
from plugin.settings import read_settings
from tests.conftest import ROOT
from tests.test_pipelines_ct_segment import phantom

PAGE = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")


def test_the_example_makes_a_model_that_is_read_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (configuration,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "own-model.md", "exec"), {})  # noqa: S102 -- it is this repository's own page
    models = tmp_path / "onnx_models"
    shutil.copytree(ROOT / "onnx_models" / "ct-segment-compact", models / "ct-segment-compact")
    settings = json.loads(configuration)
    settings["ChestAI"] |= {"ModelsFolder": str(models), "Provider": "cpu"}
    settings["ChestAI"]["Models"] |= {"Xray": [], "CtReject": "", "CtAxial": [], "CtSagittal": []}
    lineup = load_lineup(read_settings(settings))
    assert lineup.problems == ()
    assert lineup.ct_segmentation is not None
    assert lineup.ct_segmentation.card.name == "our-lesions"
    told: list[float] = []
    found = segment_all(lineup, phantom(np.arange(0, 190, 5.0)), midline=None, progress=told.append)
    assert [one.model.card.name for one in found] == ["our-lesions", "ct-segment-compact"]
    assert told[-1] == 1.0
