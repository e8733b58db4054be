"""Which model does what: the settings' choice made from the cards of the model folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plugin.domain.kinds import Modality
from plugin.models.cards import Card
from plugin.models.network import Model, fingerprint, load_models, read_cards
from plugin.settings import Settings

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a model can be used for."""

    name: str
    modality: Modality
    task: str
    projection: str | None = None

    def fits(self, card: Card) -> bool:
        """Whether a card is made for this role. A rejector may read any projection."""
        projection = card.input.projection.axis if card.input.projection else None
        return (card.modality, card.task) == (self.modality, self.task) and (
            self.projection is None or self.projection == projection
        )


XRAY = Role(name="Xray", modality=Modality.XRAY, task="classify")
CT_REJECT = Role(name="CtReject", modality=Modality.CT, task="reject")
CT_AXIAL = Role(name="CtAxial", modality=Modality.CT, task="classify", projection="axial")
CT_SAGITTAL = Role(name="CtSagittal", modality=Modality.CT, task="classify", projection="sagittal")
CT_SEGMENTATION = Role(name="CtSegmentation", modality=Modality.CT, task="segment")
ROLES = (XRAY, CT_REJECT, CT_AXIAL, CT_SAGITTAL, CT_SEGMENTATION)


@dataclass(frozen=True, kw_only=True)
class Lineup:
    """The loaded models by what they do, and what is wrong with those that are missing."""

    xray: tuple[Model, ...] = ()
    ct_reject: Model | None = None
    ct_classifiers: tuple[Model, ...] = ()
    ct_segmentation: Model | None = None
    problems: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[Model, ...]:
        """Every loaded model."""
        single = tuple(m for m in (self.ct_reject, self.ct_segmentation) if m is not None)
        return (*self.xray, *self.ct_classifiers, *single)

    def of(self, modality: Modality) -> tuple[Model, ...]:
        """The models that read ``xray`` or ``ct``."""
        return tuple(model for model in self.models if model.card.modality == modality)

    def fingerprint(self, modality: Modality) -> str:
        """What identifies the models that read a modality."""
        return fingerprint(self.of(modality))


def load_lineup(settings: Settings) -> Lineup:
    """Choose and load the models that the settings ask for; what fails is left out and said."""
    cards, problems = read_cards(settings.models_folder)
    choice = settings.models
    wanted: dict[Role, list[str]] = {}
    for role, names in (
        (XRAY, choice.xray),
        (CT_REJECT, (choice.ct_reject,)),
        (CT_AXIAL, choice.ct_axial),
        (CT_SAGITTAL, choice.ct_sagittal),
        (CT_SEGMENTATION, (choice.ct_segmentation,)),
    ):
        chosen, missing = _choose(role, tuple(name for name in names if name), cards)
        wanted[role] = chosen
        problems += missing
    models, failures = load_models(
        settings.models_folder,
        names=[name for names in wanted.values() for name in names],
        thresholds=settings.thresholds,
        provider=settings.provider,
        threads=settings.inference_threads,
    )
    loaded = {role: tuple(models[n] for n in names if n in models) for role, names in wanted.items()}
    return Lineup(
        xray=loaded[XRAY],
        ct_reject=next(iter(loaded[CT_REJECT]), None),
        ct_classifiers=loaded[CT_AXIAL] + loaded[CT_SAGITTAL],
        ct_segmentation=next(iter(loaded[CT_SEGMENTATION]), None),
        problems=tuple(problems + failures),
    )


def default_model(role: Role, cards: Iterable[Card]) -> str | None:
    """The name of the model that ``auto`` takes: of those that fit the lowest rank, then the first name."""
    fitting = [card for card in cards if role.fits(card)]
    return min(fitting, key=lambda card: (card.default_rank, card.name)).name if fitting else None


def _choose(role: Role, names: tuple[str, ...], cards: dict[str, Card]) -> tuple[list[str], list[str]]:
    """The models for a role and what is wrong with the settings' choice."""
    default = default_model(role, cards.values())
    chosen: list[str] = []
    problems: list[str] = []
    for name in names:
        if name == AUTO and default:
            chosen.append(default)
        elif name == AUTO:
            problems.append(f"no model for {role.name} in the model folder")
        elif name not in cards:
            problems.append(f"Models.{role.name}: there is no model {name}")
        elif not role.fits(cards[name]):
            problems.append(f"Models.{role.name}: {name} is not made for that")
        else:
            chosen.append(name)
    return chosen, problems
