"""The settings choose among the cards: what they name must be there, and have the classes they name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from plugin.models.lineup import load_lineup
from plugin.models.session import CPU
from plugin.settings import Settings, SettingsError, read_settings
from tests.conftest import ROOT

XRAY = "xray-covid-lite0"
ONLY_XRAY = {"Xray": [XRAY], "CtReject": "", "CtAxial": [], "CtSagittal": [], "CtSegmentation": ""}


def _settings(**section: Any) -> Settings:
    return read_settings({"ChestAI": {"Models": ONLY_XRAY, **section}})


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"xray-covid-light0": {"COVID": 0.6}}, f"no such model is in use; in use are {XRAY}"),
        ({"ct-class-ax-compact": {"FINDINGS": 0.6}}, "ct-class-ax-compact: no such model is in use"),
        ({XRAY: {"COVD": 0.6}}, f"COVD: {XRAY} has operating points of COVID, REJECTION"),
        # Called where the finding is not, whatever its probability: a threshold would change nothing.
        ({XRAY: {"NON-COVID": 0.6}}, f"NON-COVID: {XRAY} has operating points of COVID, REJECTION"),
    ],
)
def test_operating_points_that_nothing_has_are_refused(
    thresholds: dict[str, dict[str, float]], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        load_lineup(_settings(Thresholds=thresholds))


def test_operating_points_of_a_model_in_use_are_taken() -> None:
    lineup = load_lineup(_settings(Thresholds={XRAY: {"COVID": 0.6}}))
    assert [c.threshold for c in lineup.xray[0].classes if c.name == "COVID"] == [0.6]
    assert lineup.problems == ()


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (
            {"Xray": ["xray-covid-light0"]},
            r"Models.Xray: there is no model xray-covid-light0; there are .*lite0",
        ),
        ({"CtReject": XRAY}, "Models.CtReject: xray-covid-lite0 is not made for that; there are ct-reject"),
    ],
)
def test_models_that_are_not_there_are_refused(models: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_lineup(_settings(Models=ONLY_XRAY | models))


def test_a_broken_card_is_left_out_with_every_reason(tmp_path: Path) -> None:
    for name in (XRAY, "ct-class-ax-compact"):
        shutil.copytree(ROOT / "onnx_models" / name, tmp_path / name)
    card = json.loads((tmp_path / "ct-class-ax-compact" / "card.json").read_text())
    del card["task"]
    broken = card | {"colour": "red"}
    (tmp_path / "ct-class-ax-compact" / "card.json").write_text(json.dumps(broken))
    choice = ONLY_XRAY | {"CtAxial": ["ct-class-ax-compact"]}
    lineup = load_lineup(_settings(ModelsFolder=str(tmp_path), Models=choice))
    assert [model.card.name for model in lineup.models] == [XRAY]
    (problem,) = lineup.problems
    assert problem.startswith("model ct-class-ax-compact: ")
    assert "task: Field required" in problem
    assert "colour: Extra inputs" in problem


def test_the_attention_is_found_by_the_findings_name(tmp_path: Path) -> None:
    """Its classes may be in another order than those of the logits."""
    name = "ct-class-ax-b4"
    shutil.copytree(ROOT / "onnx_models" / name, tmp_path / name)
    card = json.loads((tmp_path / name / "card.json").read_text())
    _, attention = card["outputs"]
    assert [c["name"] for c in attention["classes"]] == ["NO-FINDINGS", "FINDINGS"]
    attention["classes"].reverse()
    (tmp_path / name / "card.json").write_text(json.dumps(card))
    models = ONLY_XRAY | {"Xray": [], "CtAxial": [name]}
    (model,) = load_lineup(_settings(ModelsFolder=str(tmp_path), Models=models)).models
    gradient = np.linspace(-1000, 400, 400 * 300, dtype=np.float32).reshape(400, 300)
    prediction = model.predict(model.prepare(gradient)[None])
    seen = model.evidence(prediction)
    assert seen is not None
    assert prediction.attention is not None
    assert (seen == prediction.attention[:, 0]).all()
    assert not (seen == prediction.attention[:, 1]).all()


def test_cuda_is_cuda_or_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    (problem,) = load_lineup(_settings(Provider="cuda")).problems
    assert problem.startswith("Provider is cuda, but the models run on the CPU")
    assert load_lineup(_settings(Provider="auto")).problems == ()
    assert load_lineup(_settings(Provider="cpu")).problems == ()


def test_the_shipped_parts_are_joined_and_others_stand_alone() -> None:
    lineup = load_lineup(read_settings({"ChestAI": {"Models": {"Xray": []}}}))
    assert lineup.problems == ()
    assert lineup.ct_joiner is not None
    assert lineup.ct_joiner.card.name == "ct-joined"
    kinds = {figure.kind for figure in lineup.ct_joiner.algorithm.measured}
    assert {"sensitivity", "specificity"} <= kinds
    moved = {"Models": {"Xray": []}, "Thresholds": {"ct-segment-compact": {"findings": 0.6}}}
    assert load_lineup(read_settings({"ChestAI": moved})).ct_joiner is None
    published = {"Models": {"Xray": [], "CtAxial": ["ct-class-ax-b4"]}}
    assert load_lineup(read_settings({"ChestAI": published})).ct_joiner is None
