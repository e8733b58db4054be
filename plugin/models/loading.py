"""Networks made ready to run: the card read, the file checked, the self-test passed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from plugin.domain.errors import ModelError, first_line
from plugin.models.cards import Card, ModelOutput, read_card
from plugin.models.network import Model
from plugin.models.selftest import self_test_picture
from plugin.models.session import FloatArray, Session, available_providers

log = logging.getLogger(__name__)


def load_models(
    folders: Mapping[str, Path],
    *,
    thresholds: Mapping[str, Mapping[str, float]],
    provider: str,
    threads: int,
) -> tuple[dict[str, Model], list[str]]:
    """Load the models of these folders by their names; those that fail are left out and told."""
    providers = available_providers(provider)
    models: dict[str, Model] = {}
    problems: list[str] = []
    for name, folder in folders.items():
        try:
            models[name] = load_model(
                folder,
                thresholds=thresholds.get(name, {}),
                providers=providers,
                threads=threads,
            )
        except (ModelError, OSError, ValueError) as error:
            problems.append(f"model {name}: {first_line(error)}")
            log.error("model %s is left out: %s", name, error)
    return models, problems


def load_model(
    folder: Path, *, thresholds: Mapping[str, float], providers: Sequence[str], threads: int
) -> Model:
    """Load one model: card, SHA-256 of the file, session, self-test.

    ``thresholds``: operating points that take the place of the card's, by class.
    Raises ModelError where the file is not the card's, the graph cannot be loaded or does not give the
    answer that the card expects; OSError and ValueError (pydantic's included) for a card that cannot
    be read.
    """
    shipped = read_card(folder)
    card = with_thresholds(shipped, thresholds)
    session = Session(folder / card.file, sha256=card.sha256, providers=providers, threads=threads)
    model = Model(card=card, session=session, as_measured=card == shipped)
    self_test(model)
    return model


def self_test(model: Model) -> None:
    """Run the card's seeded input.

    Raises ModelError unless each output has a value for each of its classes, and the first values of the
    first output agree with the card's.
    """
    card = model.card
    spec, test = card.input, card.self_test
    picture = self_test_picture(test.seed, test.pattern, spec.shape, spec.mean, spec.std)
    try:
        answers = model.session.run([output.name for output in card.outputs], {spec.name: picture})
    except Exception as error:  # ONNX Runtime raises its own, undocumented exception classes
        raise ModelError(f"the self-test does not run: {first_line(error)}") from error
    for output, answer in zip(card.outputs, answers, strict=True):
        _check_shape(card, output, answer)
    expected = np.asarray(test.expected)
    got = np.ravel(answers[0])[: len(expected)]
    worst = float(np.max(np.abs(got - expected), initial=0.0))
    if not len(got) == len(expected) or not worst <= test.tolerance:
        raise ModelError(f"self-test failed: off by {worst:.3g}, tolerance {test.tolerance:.3g}")


def with_thresholds(card: Card, thresholds: Mapping[str, float]) -> Card:
    """The card with other operating points by class. Raises ModelError for a class that has none."""
    if not thresholds:
        return card
    called = {c.name for c in card.logits.classes if c.role != "other"}
    if unknown := set(thresholds) - called:
        raise ModelError(
            f"{', '.join(sorted(unknown))}: {card.name} has operating points of {', '.join(sorted(called))}"
        )
    outputs = tuple(
        output.model_copy(
            update={
                "classes": tuple(
                    c.model_copy(update={"threshold": thresholds.get(c.name, c.threshold)})
                    for c in output.classes
                )
            }
        )
        for output in card.outputs
    )
    return card.model_copy(update={"outputs": outputs})


def _check_shape(card: Card, output: ModelOutput, answer: FloatArray) -> None:
    flat = output.meaning == "logits" and card.task != "segment"
    wanted = (card.input.shape[0], len(output.classes))
    if card.input.volume and card.task == "segment":
        # Patches are laid over each other: each voxel that goes in must come out.
        fits, sides = (
            answer.shape == (*wanted, *card.input.patch),
            ", " + ", ".join(map(str, card.input.patch)),
        )
    else:
        fits = answer.shape[:2] == wanted and answer.ndim == (2 if flat else len(card.input.shape))
        sides = "" if flat else ", depth, height, width" if card.input.volume else ", height, width"
    if not fits:
        raise ModelError(
            f"output {output.name} has the shape {answer.shape},"
            f" its card stands for ({wanted[0]}, {wanted[1]}{sides})"
        )
