"""Networks on projections over the lungs and what joins them: training, figures, the regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
pytest.importorskip("sklearn", reason="scikit-learn is only needed for measuring")
pytest.importorskip("nibabel", reason="nibabel is only needed for training")

from export.data.ct_blocks import SIZE  # noqa: E402
from export.measured import Measured  # noqa: E402
from export.models import ct_joined, ct_lung_measure, ct_lung_table, ct_lung_train  # noqa: E402
from export.models.ct_lung_measure import LeftOut  # noqa: E402
from export.models.ct_lung_table import Features, Table  # noqa: E402
from export.models.ct_lung_train import Answers, Plan  # noqa: E402
from plugin.models.cards import Figure  # noqa: E402

CELLS = SIZE // 8


def table(rows: list[tuple[str, str, int]], coverage: float = 0.5) -> Table:
    """Blocks of (volume, kind, label); those with findings have them in the upper left quarter."""
    names, kinds, labels = zip(*rows, strict=True)
    image = np.zeros((len(rows), 4, SIZE, SIZE), dtype=np.uint8)
    image[:, :, 16:112, 16:112] = np.array([30, 25, 120, 0])[None, :, None, None]
    for row, label in enumerate(labels):
        if label:
            image[row, :, 24:56, 24:56] = np.array([110, 200, 120, 200])[:, None, None]
    return Table(
        image=image,
        label=np.array(labels, dtype=np.int64),
        kind=np.array(kinds),
        coverage=np.full(len(rows), coverage),
        block=np.tile([0, 10, 0, 20], (len(rows), 1)),
        name=np.array(names),
    )


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Volumes v0 to v8 dealt out to the folds; v0 to v5 are COVID-19."""
    for module in (ct_lung_table, ct_lung_measure, ct_joined):
        monkeypatch.setattr(module.ct, "fold_of", lambda name: int(name[1:]) % 3)
        monkeypatch.setattr(module.ct, "covid_names", lambda: [f"v{n}" for n in range(6)])


def figure_of(measured: Measured, name: str) -> Figure:
    return next(f for f in (*measured.figures, *measured.shortcut_checks) if f.name == name)


def test_the_map_learns_where_and_the_logit_whether(folds: None) -> None:
    rows = table([(f"v{n}", "slab", label) for n in range(9) for label in (0, 1) for _ in range(3)])
    torch.manual_seed(1)
    network = ct_lung_train.start(pretrained=False)
    values = torch.from_numpy(rows.image).float() / 255
    given = ct_lung_table.of_pictures(network, values[:, :3])
    target = ct_lung_table.share_of_lesion(values)
    features = Features(given, given, target, target)
    before = network.far[0].state_dict()
    kept = {key: value.clone() for key, value in before.items()}
    ct_lung_train.train(network, rows, features, rows.fold != 0, plan=Plan(steps=60), seed=1)
    assert all(torch.equal(kept[key], value) for key, value in network.far[0].state_dict().items())
    said = ct_lung_train.read(network, given[torch.from_numpy(rows.fold == 0)])
    label = rows.label[rows.fold == 0]
    assert said.logit[label == 1].min() > said.logit[label == 0].max()
    sick = said.places[label == 1].mean(axis=0)
    assert sick[3:7, 3:7].min() > sick[8:14, 8:14].max()
    with torch.inference_mode():
        logits, attention = network((values[:2, :3] - network.mean) / network.std)
    assert logits.shape == (2, 2)
    assert attention.shape == (2, 1, CELLS, CELLS)
    assert torch.allclose(logits[:, 0], -logits[:, 1])
    assert (attention[:, :, :2] == attention[0, 0, 0, 0]).all(), "where no lung is the map says one thing"


def test_rows_weigh_by_class_volume_and_coverage(folds: None) -> None:
    rows = table([("v0", "slab", 1), ("v0", "slab", 1), ("v1", "slab", 1), ("v1", "slab", 0)])
    rows = replace(rows, coverage=np.array([0.1, 0.3, 0.9, 0.2]))
    np.testing.assert_allclose(ct_lung_train.weights(rows), [0.0625, 0.1875, 0.25, 0.5])


def test_figures_count_whole_volumes_at_thresholds_that_others_chose(
    folds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ct_lung_measure.ct, "source_of", lambda _name: "coronacases")
    whole = [(f"v{n}", "whole", int(n < 6)) for n in range(9)]
    slabs = [(f"v{n}", "slab", label) for n in range(6) for label in (0, 1)]
    healed = [(f"v{n}", "healed whole", 0) for n in range(6)]
    rows = table(whole + slabs + healed)
    logit = np.where(rows.label == 1, 2.0, -2.0)
    logit[0] = -3.0  # the whole of v0 is missed
    places = np.full((len(logit), CELLS, CELLS), -1.0, np.float32)
    places[:, 3:7, 3:7] = 2.0
    depth = np.zeros_like(places)
    depth[:, 2:14, 2:14] = 0.4
    lesion = np.where(places > 0, np.float32(0.5), np.float32(0))
    found = LeftOut(rows, Answers(logit, places), depth, lesion)
    measured = ct_lung_measure.measure(found, -logit[:9], (), "a command")
    sensitivity = figure_of(measured, "whole volumes with findings called")
    assert sensitivity.value == pytest.approx(5 / 6, abs=1e-3)
    assert sensitivity.n == 6
    assert figure_of(measured, "whole volumes without findings not called").value == 1.0
    new = "whole volumes over lungs of a segmenter new to them,"
    assert figure_of(measured, f"{new} with findings called").value == pytest.approx(1 / 6, abs=1e-3)
    assert figure_of(measured, f"{new} without findings not called").value == 0.0
    assert figure_of(measured, "slab AUC within COVID-19 patients").value == 1.0
    inside = "share of the map inside the lungs, whole volumes with findings"
    assert figure_of(measured, inside).value == 1.0
    assert figure_of(measured, next(f.name for f in measured.figures if f.name.startswith("peak"))).value == 1
    assert 0 < measured.thresholds["FINDINGS"] < 1
    outside = replace(found, answers=Answers(logit, np.roll(places, -6, axis=1)))
    assert figure_of(ct_lung_measure.measure(outside, -logit[:9], (), "a command"), inside).value != 1.0


def test_the_regression_weighs_what_tells(folds: None) -> None:
    draw = np.random.default_rng(4)
    labels = np.arange(400) % 2
    signal = np.where(labels == 1, 1.0, -1.0) + 0.5 * draw.standard_normal(400)
    said = np.stack([signal, draw.standard_normal(400), -signal], axis=1)
    found = ct_joined.fit(said, labels, np.ones(400))
    assert found.weights[0] > 1
    assert found.weights[0] > 5 * found.weights[1]
    assert found.weights[2] == 0, "a part never speaks against what it says"
    scores = found.scores(said)
    assert scores[labels == 1].mean() > 0.8
    assert scores[labels == 0].mean() < 0.2


def test_the_joined_scores_are_of_patients_left_out(folds: None) -> None:
    """Labels that only the own fold's rows have tell nothing to the regression of the others."""
    rows = table([(f"v{n}", kind, n % 2) for n in range(9) for kind in ("whole", "slab", "most")])
    said = np.where(rows.label == 1, 2.0, -2.0)[:, None] * np.array([1.0, 0.5, 0.5])
    said[rows.fold == 0] *= -1
    counts = ct_lung_train.weights(rows)
    scores = ct_joined.left_out(ct_joined.Rows(rows, said), counts)
    own = rows.fold == 0
    assert scores[own & (rows.label == 1)].max() < scores[own & (rows.label == 0)].min()
