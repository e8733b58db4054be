"""The X-ray network's training on films made here: what is read once, what is learnt, where, and figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("sklearn", reason="the export side needs scikit-learn")
pytest.importorskip("efficientnet_lite_pytorch", reason="needs the EfficientNet-Lite wheels")

import torch
from scipy.special import expit, softmax

from export.data.cxr import COVID, IEEE8023, NON_COVID, REJECTION, SIIM, UNSURE, Film
from export.models import xray_fits, xray_measures, xray_samples, xray_training
from export.models.xray_samples import Sample
from export.networks.lite import MEAN, STD
from export.networks.opacity import OpacityNetwork, b5, lite
from plugin.models.inputs import Equalise, ModelInput, Resize
from plugin.models.network import prepare

SIZE = 64
SPEC = ModelInput(
    name="image",
    shape=(1, 3, SIZE, SIZE),
    intensity=Equalise(),
    resize=Resize(mode="stretch"),
    mean=MEAN,
    std=STD,
)


def _film(path: Path, label: int = COVID, source: str = SIIM, patient: str = "p") -> Film:
    return Film(path, label, source, patient, "", "")


@pytest.fixture
def network() -> OpacityNetwork:
    torch.manual_seed(0)
    return lite(0, (SIZE, SIZE)).eval()


@pytest.fixture
def films(tmp_path: Path) -> list[Film]:
    """Forty films of noise, half with a bright striped square in one of four corners, boxed."""
    draw = np.random.default_rng(0)
    found = []
    for index in range(40):
        values = draw.normal(100, 15, (SIZE, SIZE))
        label, boxes = (COVID, NON_COVID)[index % 2], ()
        if label == COVID:
            top, left = 32 * (index // 2 % 2), 32 * (index // 4 % 2)
            values[top : top + 32, left : left + 32] += 90 * (np.arange(32) % 8 < 4)
            boxes = ((left / SIZE, top / SIZE, (left + 32) / SIZE, (top + 32) / SIZE),)
        path = tmp_path / f"{index}.png"
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)
        film = _film(path, label, patient=f"patient {index}")
        found.append(dataclasses.replace(film, boxes=boxes))
    return found


@pytest.fixture
def reader(network: OpacityNetwork, tmp_path: Path) -> xray_samples.Reader:
    return xray_samples.Reader(network.front, SPEC, tmp_path)


def test_what_was_kept_gives_the_networks_own_answer(
    network: OpacityNetwork, films: list[Film], reader: xray_samples.Reader
) -> None:
    torch.nn.init.normal_(network.whole.weight)
    kept = reader.inputs("siim", xray_samples.view(films[:4], 0))
    found = xray_fits.answers(network, kept.features)
    pictures = [np.asarray(Image.open(film.path)) for film in films[:4]]
    with torch.inference_mode():
        logits, attention = network(torch.from_numpy(np.stack([prepare(SPEC, p) for p in pictures])))
    whole = torch.softmax(logits, dim=1)[:, COVID].numpy()
    accepted = 1 - xray_fits.refusal(network.reject, found.pooled)
    np.testing.assert_allclose(expit(found.film) * accepted, whole, atol=0.02)
    np.testing.assert_allclose(found.places, attention[:, 0].numpy(), atol=0.02)


def test_pictures_are_read_once(films: list[Film], reader: xray_samples.Reader) -> None:
    samples = xray_samples.view(films[:3], 1)
    first = reader.inputs("siim", samples)
    for film in films[:3]:
        film.path.unlink()
    again = reader.inputs("siim", samples)
    assert np.array_equal(first.features, again.features)
    assert np.array_equal(first.masks, again.masks)


def test_class_and_rejection_do_not_compete(network: OpacityNetwork) -> None:
    """However sure the rejection, the odds of the class are those of the film's logit."""
    picture = torch.rand(1, 3, SIZE, SIZE)
    shares = []
    for bias in (-3.0, 0.0, 3.0):
        torch.nn.init.constant_(network.reject.bias, bias)
        with torch.inference_mode():
            found = softmax(network(picture)[0].numpy().astype(np.float64), axis=1)[0]
        assert found[REJECTION] == pytest.approx(expit(bias), abs=1e-5)
        shares.append(found[COVID] / found[NON_COVID])
    assert shares == pytest.approx([shares[0]] * 3, rel=1e-4)


def test_the_published_network_has_the_same_outputs() -> None:
    pytest.importorskip("monai", reason="the published networks need MONAI")
    network = b5((SIZE, SIZE)).eval()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters / 1e6 == pytest.approx(28.5, abs=0.3)
    with torch.inference_mode():
        logits, attention = network(torch.rand(1, 3, SIZE, SIZE))
    assert logits.shape == (1, 3)
    assert attention.shape == (1, 1, SIZE // 16, SIZE // 16)


def _views(films: list[Film], folder: Path) -> xray_samples.Views:
    return xray_samples.read_views(films, 2, SPEC, folder)


def _target(films: list[Film]) -> np.ndarray:
    return np.array([film.label == COVID for film in films], dtype=np.float32)


def test_views_are_what_the_plugin_reads_and_made_once(films: list[Film], tmp_path: Path) -> None:
    made = _views(films[:3], tmp_path)
    assert made.pictures.shape == (2, 3, SIZE, SIZE)
    assert made.masks.shape == (2, 3, SIZE // 16, SIZE // 16)
    for place, film in enumerate(films[:3]):
        read = xray_training.normalised(torch.from_numpy(made.pictures[0, place : place + 1]))[0].numpy()
        np.testing.assert_allclose(read, prepare(SPEC, np.asarray(Image.open(film.path))), atol=0.005)
    assert not np.array_equal(made.pictures[0], made.pictures[1])
    for film in films[:3]:
        film.path.unlink()
    again = _views(films[:3], tmp_path)
    assert np.array_equal(made.pictures, again.pictures)
    assert np.array_equal(made.masks, again.masks)


def test_training_finds_the_squares_and_where_they_are(
    network: OpacityNetwork, films: list[Film], tmp_path: Path
) -> None:
    views, target, learn = _views(films, tmp_path), _target(films), np.arange(32)
    front = [parameter.clone() for parameter in network.front.parameters()]
    reject = network.reject.weight.clone()
    schedule = xray_training.Schedule(epochs=7, batch=8, rate=1e-3, fresh=1e-2, norms=False, average=0.8)
    lesson = xray_training.Lesson(views, target, learn, seed=0)
    trained = xray_training.OpacityTrainer(network, schedule, lesson, tmp_path / "part.pt").run(lesson)
    assert any(not torch.equal(old, new) for old, new in zip(front, trained.front.parameters(), strict=True))
    assert torch.equal(reject, trained.reject.weight)
    left_out = range(32, 40)
    image = xray_training.normalised(torch.from_numpy(views.pictures[0, 32:]))
    with torch.inference_mode():
        film, places, _ = trained.read(trained.front(image))
    with_square = torch.from_numpy(target[left_out] == 1)
    assert film[with_square].min() > film[~with_square].max()
    for place in np.flatnonzero(with_square):
        top = np.unravel_index(int(places[place].argmax()), places[place].shape)
        assert views.masks[0, left_out[place]][top] > 127


def test_a_training_that_was_cut_off_goes_on_to_the_same_network(films: list[Film], tmp_path: Path) -> None:
    views, target, learn = _views(films, tmp_path), _target(films), np.arange(16)
    schedule = xray_training.Schedule(epochs=3, batch=8, rate=3e-4, fresh=5e-3, norms=True)

    lesson = xray_training.Lesson(views, target, learn, seed=1)

    def begun(checkpoint: str) -> xray_training.OpacityTrainer:
        torch.manual_seed(0)
        return xray_training.OpacityTrainer(lite(0, (SIZE, SIZE)), schedule, lesson, tmp_path / checkpoint)

    whole = begun("whole.pt").run(lesson)
    cut = begun("cut.pt")
    cut.to_train()
    for step in range(4):
        cut.learn(lesson.batch(step, schedule.batch))
    cut.save()
    again = begun("cut.pt")
    assert (again.step, again.finished) == (4, False)
    resumed = again.run(lesson)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_normalisations_of_imagenet_stay_where_they_shall(
    network: OpacityNetwork, films: list[Film], tmp_path: Path
) -> None:
    views, target = _views(films[:16], tmp_path), _target(films[:16])
    before = network.front[0][1].running_mean.clone()
    for norms, stays in ((False, True), (True, False)):
        schedule = xray_training.Schedule(epochs=1, batch=8, rate=1e-4, fresh=1e-3, norms=norms, average=0.5)
        lesson = xray_training.Lesson(views, target, np.arange(16), seed=0)
        trainer = xray_training.OpacityTrainer(network, schedule, lesson, tmp_path / f"{norms}.pt")
        trained = trainer.run(lesson)
        assert torch.equal(before, trained.front[0][1].running_mean) is stays


def test_a_film_with_opacities_and_no_box_tells_nothing_of_where() -> None:
    film, masks = torch.zeros(1), torch.zeros(1, 4, 4)
    places = torch.full((1, 4, 4), 3.0, requires_grad=True)
    for target, moved in ((1.0, False), (0.0, True)):
        loss = xray_training.loss_of(film, places, torch.tensor([target]), masks, negative=1.0, boxes=1.0)
        (gradient,) = torch.autograd.grad(loss, places)
        assert bool(gradient.abs().sum() > 0) is moved


def test_rejection_weighs_its_samples() -> None:
    draw = np.random.default_rng(0)
    refused = np.arange(400) % 2 == 0
    values = (refused[:, None] + draw.normal(0, 1, (400, 3))).astype(np.float32)
    rates = []
    for weight in (0.1, 10.0):
        layer = xray_fits.fit_rejection(values, refused, np.where(refused, weight, 1.0))
        with torch.inference_mode():
            rates.append(float((layer(torch.from_numpy(values))[:, 0] > 0).float().mean()))
    assert rates[0] < 0.5 < rates[1]


def test_calibration_gives_the_probability_at_equal_numbers() -> None:
    draw = np.random.default_rng(0)
    opacity = np.arange(4000) % 4 == 0
    film = 3 * (draw.normal(0, 1, 4000) + np.where(opacity, 1.0, -1.0)) + 5
    scale, offset = xray_fits.fit_calibration(film, opacity)
    # Two normal distributions two deviations apart: the logit of the posterior is twice the value.
    assert scale == pytest.approx(2 / 3, rel=0.1)
    assert -offset / scale == pytest.approx(5, abs=0.3)


def test_the_floor_of_the_map_fits_the_boxes() -> None:
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[:, :2, :2] = 255
    places = np.where(masks > 0, -0.4, -1.6).astype(np.float32)
    assert -1.6 <= xray_fits.fit_floor(places, masks) < -0.4


def _answered(labels: list[int], covid: list[float], source: str = SIIM) -> xray_measures.Answered:
    films = [_film(Path(f"{i}"), label, source, f"patient {i}") for i, label in enumerate(labels)]
    rejection = np.array([0.99 if label == REJECTION else 0.01 for label in labels])
    return xray_measures.Answered([Sample(f) for f in films], np.array(covid), rejection)


def test_thresholds_are_chosen_by_one_half_and_measured_on_the_other() -> None:
    labels = [COVID, NON_COVID] * 40
    covid = [0.8 if label == COVID else 0.2 for label in labels]
    answered = _answered(labels, covid)
    half = np.array([xray_measures.chooses(film) for film in answered.films])
    assert 20 < half.sum() < 60
    spoilt = dataclasses.replace(answered, covid=np.where(half, answered.covid, 0.5))
    assert xray_measures.thresholds(spoilt) == xray_measures.thresholds(answered)
    limits = xray_measures.thresholds(answered)
    found = {f.name: f for f in xray_measures.class_figures(answered, limits, "none")}
    assert found["sensitivity for typical COVID-19, siim"].value == 1.0
    assert found["sensitivity for typical COVID-19, siim"].n == int((~half[::2]).sum())
    blind = dataclasses.replace(answered, covid=np.full(80, 0.5))
    again = {f.name: f.value for f in xray_measures.class_figures(blind, limits, "none")}
    assert again["AUC typical COVID-19 against no pneumonia, siim"] == 0.5


def test_frontal_films_rejected_are_told_source_by_source() -> None:
    good = _answered([COVID, NON_COVID, UNSURE, REJECTION], [0.5] * 4)
    bad = _answered([COVID, NON_COVID], [0.5] * 2, source="rsna")
    joined = xray_measures.Answered(
        [*good.samples, *bad.samples],
        np.concatenate([good.covid, bad.covid]),
        np.concatenate([good.rejection, [0.9, 0.1]]),
    )
    known = np.where(joined.rejection > 0.8, 0.0, joined.rejection)
    found = {f.name: f for f in xray_measures.rejection_figures(joined, known, 0.5, "none")}
    assert found["REJECTION rejected"].value == 1.0
    assert found[f"frontal films rejected, {SIIM}"].value == 0.0
    assert found["frontal films rejected, rsna"].value == 0.5
    assert found["frontal films rejected, rsna, other patients known"].value == 0.0


def test_pointing_and_share_of_the_attention() -> None:
    film = dataclasses.replace(_film(Path("a")), boxes=((0.0, 0.0, 0.5, 0.5),))
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[:, :2, :2] = 255
    evidence = np.full((2, 4, 4), -1.0, np.float32)
    evidence[0, 0, 0], evidence[1, 3, 3], evidence[1, 0, 0] = 3.0, 2.0, 1.0
    films = [film, dataclasses.replace(film, patient="q")]
    found = {f.name: f.value for f in xray_measures.place_figures(films, evidence, masks, "none")}
    assert found["pointing game, siim"] == 0.5
    assert found["share of the attention inside the boxes, siim"] == pytest.approx((1 + 1 / 3) / 2, abs=1e-4)
    assert found["share of the picture that the boxes take, siim"] == 0.25


def test_operating_point_splits_the_classes() -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.6, 0.5, 0.1])
    assert xray_measures.operating_point(labels, scores) == 0.6


def test_pictures_to_reject_are_varied_and_films_of_all_collections_spoiled(tmp_path: Path) -> None:
    films = [
        _film(tmp_path / "a.jpg", REJECTION, "boneage"),
        _film(tmp_path / "b.jpg", COVID, IEEE8023),
        _film(tmp_path / "c.jpg", NON_COVID, "rsna"),
    ]
    samples = xray_samples.to_reject(films)
    kinds = [(sample.film.source, sample.kind == xray_samples.EVERYDAY) for sample in samples]
    assert kinds.count(("boneage", True)) == 3
    assert kinds.count(("ieee8023", True)) == 1
    assert kinds.count(("rsna", False)) == 1
    assert all(sample.rejected for sample in samples if sample.kind != xray_samples.EVERYDAY)
