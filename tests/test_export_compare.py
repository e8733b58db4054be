"""Networks compared: alike trained, resumed, told in a table; the networks themselves; a GPU's minutes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
pytest.importorskip("monai", reason="MONAI is only needed for training and export")
pytest.importorskip("nibabel", reason="nibabel is only needed for training")

from torch import nn  # noqa: E402
from volumes import stored, stored_of  # noqa: E402

from export import burst  # noqa: E402
from export.compare import command, lesion, report  # noqa: E402
from export.compare.outcomes import Budget, Part, all_kept, kept  # noqa: E402
from export.compare.task import Network  # noqa: E402
from export.compare.training import parts  # noqa: E402
from export.data import ct  # noqa: E402
from export.data.ct_pack import pack, unpack  # noqa: E402
from export.models import ct_volume  # noqa: E402
from export.networks import unetpp, volumetric  # noqa: E402

COVID = [f"{source}_{number:03}" for source in ("coronacases", "radiopaedia") for number in range(1, 7)]
PATCH = (16, 32, 32)


@pytest.mark.parametrize("build", [volumetric.fcn8s, volumetric.unet, volumetric.vnet])
def test_the_networks_draw_every_voxel_and_normalise_by_instance(build) -> None:
    network = build()
    image = torch.zeros(1, 1, 32, 64, 64)
    assert network.train()(image).shape == image.shape
    with torch.inference_mode():
        assert network.eval()(image).shape == image.shape
    assert any(isinstance(layer, nn.InstanceNorm3d) for layer in network.modules())
    assert not any(isinstance(layer, nn.BatchNorm3d) for layer in network.modules())
    assert 1e6 < sum(weight.numel() for weight in network.parameters()) < 7e6


@pytest.mark.parametrize("build", [volumetric.fcn8s, volumetric.unet, volumetric.vnet, unetpp.compact])
def test_the_networks_begin_with_findings_as_rare(build) -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        logits = build().eval()(torch.randn(1, 1, 32, 64, 64))
    assert 0.02 < float(torch.sigmoid(logits).mean()) < 0.15


def _small() -> nn.Module:
    """Learns from which brightness on a voxel is a finding."""
    return nn.Conv3d(1, 1, 1)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve patients with COVID-19 and six without, small patches, two small networks; the tables' file."""
    data = tmp_path / "data" / "ct_covid"
    data.mkdir(parents=True)
    (data / "volumes.csv").write_text("volume\n" + "\n".join(COVID) + "\n")
    monkeypatch.setenv("CHEST_AI_DATA", str(data.parent))
    monkeypatch.setenv("CHEST_AI_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(ct_volume, "load_stored", stored_of)
    plan = replace(ct_volume.COMPACT.plan, rate=0.3, warmup=2, batch=2)
    model = replace(ct_volume.COMPACT, build=_small, patch=PATCH, plan=plan)
    networks = {
        "unet": Network("U-Net", _small),
        "unetpp": Network("3-D U-Net++", _small),
    }
    monkeypatch.setattr(lesion, "MODEL", model)
    monkeypatch.setattr(burst, "COMPACT", model)
    monkeypatch.setattr(lesion, "TASK", lesion.LesionTask(networks=networks, plan=plan))
    monkeypatch.setattr(report, "FILE", tmp_path / "compare.md")
    monkeypatch.setattr(lesion.LesionTask, "seconds", lambda _task, _network: 1.5)
    return tmp_path / "compare.md"


def test_a_comparison_is_trained_told_and_not_trained_again(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["--task", "lesion", "--cases", "2,all", "--folds", "0,1", "--steps", "25", "--seed", "7"]
    command.main(argv)
    budget = Budget(steps=25, seed=7)
    outcomes = all_kept("lesion", budget)
    assert len(outcomes) == 8
    whole = kept("lesion", Part(network="unet", fold=0), budget)
    assert whole is not None
    assert (whole.taught, whole.steps, whole.parameters) == (8, 25, 2)
    assert [case.patient for case in whole.cases] == [name for name in COVID if ct.fold_of(name) == 0]
    assert all(0 <= case.score <= 1 for case in whole.cases)
    assert np.mean([case.score for case in whole.cases]) > 0.8
    text = small.read_text()
    row = next(line for line in text.splitlines() if line.startswith("| U-Net |"))
    same = [each for each in outcomes if each.part.network == "unet" and each.part.cases is None]
    mean = np.mean([case.score for each in same for case in each.cases])
    assert f"| {mean:.3f} |" in row
    assert "3-D U-Net++ by the number of patients with COVID-19 that it learnt from:" in text
    assert "| 8 (all) |" in text
    repeat = "./run export compare --task lesion --networks unet,unetpp --cases 2,all --folds 0,1 --steps 25"
    assert f"{repeat} --seed 7\n" in text

    monkeypatch.setattr(ct_volume.VolumeTrainer, "learn", None)
    command.main(argv)
    assert small.read_text().count("<!-- lesion -->") == 1
    with pytest.raises(TypeError):
        command.main([*argv[:-1], "8"])


def test_the_table_of_a_task_leaves_those_of_others_alone(small: Path) -> None:
    small.write_text(
        "before\n<!-- class -->\nothers\n<!-- /class -->\n<!-- lesion -->\nold\n<!-- /lesion -->\nafter\n"
    )
    command.main(["--task", "lesion", "--networks", "unet", "--folds", "0", "--steps", "2"])
    text = small.read_text()
    assert text.startswith(
        "before\n<!-- class -->\nothers\n<!-- /class -->\n<!-- lesion -->\n## Findings in 3-D"
    )
    assert text.endswith("<!-- /lesion -->\nafter\n")
    assert "\nold\n" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--networks resnet", "unknown: resnet; known: unet, unetpp"),
        ("--cases 9", "9 patients asked for, 8 are outside fold 0"),
        ("--steps -1", "greater than 0"),
    ],
)
def test_an_option_that_is_no_good_is_told(
    small: Path, capsys: pytest.CaptureFixture[str], options: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--task", "lesion", *options.split()])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not small.exists()


def test_few_patients_are_of_both_collections_and_part_of_more(small: Path) -> None:
    three, six = (lesion.TASK.patients(1, count)[:count] for count in (3, 6))
    assert three == six[:3]
    assert {ct.source_of(name) for name in three} == {"coronacases", "radiopaedia"}
    assert not {ct.fold_of(name) for name in lesion.TASK.patients(1, None)} & {1}
    assert lesion.TASK.taught(lesion.TASK.patients(1, 3)) == 3


def test_trainings_come_fold_by_fold_with_all_patients_first() -> None:
    listed = parts(["a", "b"], [0, 1], [4, None, 8])
    assert [part.label for part in listed[:4]] == ["a-fold-0-all", "b-fold-0-all", "a-fold-0-8", "b-fold-0-8"]
    assert [part.fold for part in listed] == [0] * 6 + [1] * 6


def test_a_pack_gives_the_volumes_back(small: Path, tmp_path: Path) -> None:
    volume = stored("coronacases_001", "coronacases")
    draw = np.random.default_rng(0)
    volume = replace(volume, image=draw.integers(0, 256, volume.image.shape, dtype=np.uint8))
    pack([volume], tmp_path / "pack")
    assert (tmp_path / "pack" / "ct_covid" / "volumes.csv").is_file()
    found = {}
    unpack(tmp_path / "pack", lambda name, layers: found.update({name: layers}))
    assert list(found) == ["coronacases_001"]
    layers = found["coronacases_001"]
    assert np.abs(layers["image"].astype(int) - volume.image).max() <= 1
    assert np.array_equal(layers["lesion"], volume.lesion)
    assert np.array_equal(layers["lung"], volume.lung)


def test_what_a_gpu_trains_in_minutes_is_taken_by_those_who_measure_it(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(burst, "ProcessPoolExecutor", lambda workers, *_: ThreadPoolExecutor(workers))
    monkeypatch.setattr(burst, "_FEWER", (2,))
    out = tmp_path / "out"
    out.mkdir()
    burst.burst(60, out, share=0.1, workers=2, most=15)
    with pytest.raises(TimeoutError, match="no time is left for unet-fold-0-all"):
        burst._compare(Part(network="unet", fold=0), Budget(steps=1), latest=0)
    assert sorted(path.name for path in out.iterdir()) == [
        "fold-0.pt",
        "fold-1.pt",
        "fold-2.pt",
        "lesion.json",
        "prod.pt",
    ]

    monkeypatch.setenv("CHEST_AI_RUNS", str(tmp_path / "here"))
    burst.take(out)
    network = burst.COMPACT.trained("prod")
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    patches = np.random.default_rng(0).normal(size=(1, 1, *PATCH)).astype(np.float32)
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(patches))).numpy()
    assert np.allclose(burst.COMPACT.reader("prod").predict(patches), expected, atol=1e-4)
    outcomes = burst._OUTCOMES.validate_json((out / "lesion.json").read_bytes())
    (budget,) = {outcome.budget for outcome in outcomes}
    assert budget.steps == 15
    assert budget.minutes is not None
    assert len(all_kept("lesion", budget)) == 9
    monkeypatch.setattr(ct_volume.VolumeTrainer, "learn", None)
    command.main(f"--task lesion --cases all --steps 15 --minutes {budget.minutes:g} --seed 0".split())
    assert f"15 steps a training, at most {budget.minutes:g} minutes, seed 0, on CPU." in small.read_text()
