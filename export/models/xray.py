"""COVID / NON-COVID / REJECTION from a frontal chest X-ray.

Networks, each without one fifth of the patients, give the figures (TRAIN); one trained on
everything for the same number of steps is shipped (PROD), with the figures of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from export import onnx_writer
from export.data.cxr import CLASSES, COVID, Picture, read_films
from export.measured import Measured
from export.models import xray_measures, xray_shortcuts, xray_text
from export.models.xray_samples import FILM, Sample, extractor, inputs_of, plan, weights
from export.models.xray_training import (
    Array,
    Examples,
    Inputs,
    Labels,
    Probe,
    Schedule,
    fit,
    pooled,
    predict,
)
from export.networks.attention import AttentionClassifier
from export.networks.lite import MEAN, STD, TwoScaleTrunk, two_scale_classifier
from export.networks.published import UNFINISHED, xray_b5
from export.paths import ONNX_MODELS, runs_folder
from plugin.domain.kinds import Modality
from plugin.models.cards import (
    Card,
    Equalise,
    Figure,
    Intensity,
    ModelInput,
    ModelOutput,
    OutputClass,
    Resize,
)

_log = logging.getLogger(__name__)
FOLDS = 5
_PROD = "prod"


@dataclass(frozen=True)
class XrayModel:
    """One X-ray network: architecture, input size, and how it is trained: its head alone, or as a whole.

    ``variants`` everyday variants of each film and ``spoiled`` spoiled ones of each frontal film are
    made once, seeded. ``folds``: the fifths for which a network is trained and measured. Weights are
    stored as float16, which loses nothing measurable. ``limits``: what the card says first of its limits.
    """

    name: str
    architecture: str
    build: Callable[[], AttentionClassifier]
    size: tuple[int, int]
    training: Probe | Schedule
    variants: int = 2
    spoiled: int = 2
    rank: int = 100
    folds: tuple[int, ...] = tuple(range(FOLDS))
    limits: str = ""
    intensity: Intensity = field(default_factory=Equalise)

    @property
    def input(self) -> ModelInput:
        """The picture stretched to the network's size: the same for training and the plugin."""
        return ModelInput(
            name="image",
            shape=(1, 3, *self.size),
            intensity=self.intensity,
            resize=Resize(mode="stretch"),
            mean=MEAN,
            std=STD,
        )

    def samples(self) -> list[Sample]:
        """Films, everyday variants and spoiled films."""
        return plan(read_films(), variants=self.variants, spoiled=self.spoiled)

    def start(self) -> AttentionClassifier:
        """The network before training, the same each time."""
        torch.manual_seed(0)
        return self.build().eval()

    def examples(self, samples: list[Sample]) -> Examples:
        """The samples' inputs, labels and weights; inputs are made once and then read.

        After a change of ``cxr_variants`` the model's folder of runs has to be emptied.
        """
        key = f"{self.architecture} {self.input}"
        inputs = inputs_of(samples, self.extractor(), runs_folder(self.name), key)
        labels = np.array([sample.label for sample in samples], dtype=np.int64)
        return Examples(inputs, labels, weights(samples))

    def extractor(self) -> Callable[[list[Picture]], Inputs]:
        """Pictures to what the training reads: the frozen trunk's features, or the pictures prepared."""
        trunk = self.start().trunk if isinstance(self.training, Probe) else None
        return extractor(trunk, self.input, runs_folder(self.name))

    def train(self) -> None:
        """Train TRAIN and PROD; those whose checkpoint is there are left out."""
        samples, folder = self.samples(), runs_folder(self.name)
        examples = self.examples(samples)
        out = xray_measures.fold_of(samples, FOLDS)
        for run in [*self.folds, _PROD]:
            checkpoint = folder / f"{run}.pt"
            if checkpoint.is_file():
                continue
            _log.info("%s: training %s", self.name, run)
            chosen = np.ones(len(samples), dtype=bool) if run == _PROD else out != run
            network = fit(self.start(), examples.only(chosen), self.training, seed=0)
            part = checkpoint.with_suffix(".part")
            torch.save(network.state_dict(), part)
            part.replace(checkpoint)

    def trained(self, run: int | str) -> AttentionClassifier:
        """The TRAIN network without fold ``run``, or PROD. Raises FileNotFoundError before training."""
        network = self.start()
        network.load_state_dict(torch.load(runs_folder(self.name) / f"{run}.pt", weights_only=True))
        return network.eval()

    def evaluate(self) -> Measured:
        """Out-of-fold figures of the TRAIN networks, and the shortcut checks."""
        everything, command = self.samples(), f"./run export evaluate {self.name}"
        examples, fold = self.examples(everything), xray_measures.fold_of(everything, FOLDS)
        measured_on = np.isin(fold, self.folds)
        samples = [sample for sample, chosen in zip(everything, measured_on, strict=True) if chosen]
        inputs, out = examples.inputs[measured_on], fold[measured_on]
        networks = {run: self.trained(run) for run in self.folds}
        measured = xray_measures.measure(samples, self.left_out(networks, out, inputs), command)
        films = [sample.film for sample in samples if sample.kind == FILM]
        frontal = np.array([film.frontal and film.ieee8023 for film in films])
        extract = self.extractor()

        def covid_of(pictures: list[Picture]) -> Array:
            """The COVID probability of the ieee8023 frontal films, by networks that left them out."""
            logits = self.left_out(networks, out[: len(films)][frontal], extract(pictures))
            return softmax(logits / measured.temperature, axis=1)[:, COVID]

        checks = [
            *xray_shortcuts.blackout_figures(films, self.input, covid_of, command),
            xray_shortcuts.source_figure(
                films, pooled(networks[self.folds[0]].trunk, inputs[: len(films)]), command
            ),
        ]
        if isinstance(self.training, Probe):
            checks.append(self._unseen_source(everything, examples, fold, command))
        return measured.model_copy(update={"shortcut_checks": tuple(checks)})

    def _unseen_source(self, samples: list[Sample], examples: Examples, out: Labels, command: str) -> Figure:
        """COVID-19 against NIH by networks that saw no frontal film of NIH, nor the patient."""
        elsewhere = np.array([s.film.frontal and not s.film.ieee8023 for s in samples])
        networks = {
            run: fit(self.start(), examples.only((out != run) & ~elsewhere), self.training, seed=0)
            for run in range(FOLDS)
        }
        logits = self.left_out(networks, out, examples.inputs)
        return xray_shortcuts.unseen_source_figure(samples, softmax(logits, axis=1)[:, COVID], command)

    def left_out(self, networks: dict[int, AttentionClassifier], out: Labels, inputs: Inputs) -> Array:
        """Logits (n, classes) of each sample by the network that left out its fold ``out`` (n,)."""
        logits = np.zeros((len(inputs), len(CLASSES)))
        for run, network in networks.items():
            logits[out == run] = predict(network, inputs[out == run])
        return logits

    def onnx(self, measured: Measured) -> Path:
        """Write graph and card of the PROD network."""
        folder = ONNX_MODELS / self.name
        exported = onnx_writer.write_graph(
            self.trained(_PROD),
            folder,
            shape=self.input.shape,
            outputs=("logits", "attention"),
            mean=MEAN,
            std=STD,
            half=True,
        )
        classes = tuple(
            OutputClass(
                name=name,
                meaning=xray_text.MEANINGS[name],
                role=xray_text.ROLES[name],
                threshold=measured.thresholds[name],
            )
            for name in CLASSES
        )
        card = Card(
            name=self.name,
            version="1.1.0",
            task="classify",
            modality=Modality.XRAY,
            default_rank=self.rank,
            sha256=exported.sha256,
            architecture=self.architecture,
            manufacturer="orthanc-chest-ai",
            input=self.input,
            outputs=(
                ModelOutput(
                    name="logits",
                    meaning="logits",
                    classes=classes,
                    activation="softmax",
                    temperature=measured.temperature,
                ),
                ModelOutput(name="attention", meaning="attention", classes=classes, activation="none"),
            ),
            figures=measured.figures,
            shortcut_checks=measured.shortcut_checks,
            self_test=exported.self_test,
            **xray_text.card(len(self.folds), FOLDS, self.limits),
        )
        return onnx_writer.write_card(card, folder)


def _lite0() -> AttentionClassifier:
    return two_scale_classifier((256, 256), len(CLASSES))


MODELS = (
    XrayModel(
        name="xray-covid-lite0",
        architecture=(
            "EfficientNet-Lite0 at 256 x 256 (ImageNet, frozen), features at /16 and /32 of the picture and "
            "its mirror image, logistic regression on their means, class activation map as output"
        ),
        build=_lite0,
        size=(256, 256),
        training=Probe(groups=TwoScaleTrunk.GROUPS),
        rank=10,
    ),
    XrayModel(
        name="xray-covid-b5",
        architecture=(
            "EfficientNet-B5 as in Carmo et al. 2021 (grown from ImageNet's Lite2), trained as a whole, "
            "224 x 224"
        ),
        build=xray_b5,
        size=(224, 224),
        training=Schedule(epochs=2, draws=1600, learning_rate=5e-4, average=0.9, norm_momentum=0.05),
        rank=50,
        folds=(0,),
        limits=UNFINISHED,
    ),
)
