"""Which model does what: the settings' choice made from the cards of the model folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from plugin.domain.errors import ModelError, first_line
from plugin.domain.kinds import Modality
from plugin.models.cards import Card, read_card, read_cards
from plugin.models.joined import Joiner, read_joiners
from plugin.models.loading import load_models, with_thresholds
from plugin.models.network import Model
from plugin.models.session import CUDA, why_no_cuda
from plugin.settings import Settings, SettingsError

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a model can be used for."""

    name: str
    modality: Modality
    task: str
    view: str | None = None

    def fits(self, card: Card) -> bool:
        """Whether a card is made for this role. A rejector may read any projection."""
        return (card.modality, card.task) == (self.modality, self.task) and (
            self.view is None or self.view == card.input.view
        )


XRAY = Role(name="Xray", modality=Modality.XRAY, task="classify")
CT_REJECT = Role(name="CtReject", modality=Modality.CT, task="reject")
CT_AXIAL = Role(name="CtAxial", modality=Modality.CT, task="classify", view="axial")
CT_SAGITTAL = Role(name="CtSagittal", modality=Modality.CT, task="classify", view="sagittal")
CT_VOLUME = Role(name="CtVolume", modality=Modality.CT, task="classify", view="volume")
CT_SEGMENTATION = Role(name="CtSegmentation", modality=Modality.CT, task="segment")
_CT_LUNGS = Role(name="lungs for CtSegmentation", modality=Modality.CT, task="segment")
ROLES = (XRAY, CT_REJECT, CT_AXIAL, CT_SAGITTAL, CT_VOLUME, CT_SEGMENTATION)


@dataclass(frozen=True, kw_only=True)
class Lineup:
    """The loaded models by what they do, and what was wrong when they were loaded."""

    xray: tuple[Model, ...] = ()
    ct_reject: Model | None = None
    ct_classifiers: tuple[Model, ...] = ()
    ct_segmentation: Model | None = None
    """The leading segmenter: its masks become the Segmentation."""
    ct_beside: tuple[Model, ...] = ()
    """Segmenters whose measurements are told beside those of the leading one."""
    ct_lungs: Model | None = None
    """Finds the lungs for segmenters that find none, where no other in use does."""
    ct_joiner: Joiner | None = None
    """Joins what the classifiers and the leading segmenter say, where its very parts are in use."""
    load_problems: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[Model, ...]:
        """Every loaded model."""
        single = (self.ct_reject, self.ct_segmentation, *self.ct_beside, self.ct_lungs)
        return (*self.xray, *self.ct_classifiers, *(m for m in single if m is not None))

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong: with models that are missing, and with models that the GPU has left."""
        since = (f"model {m.card.name} {m.session.problem}" for m in self.models if m.session.problem)
        return (*self.load_problems, *since)

    def of(self, modality: Modality) -> tuple[Model, ...]:
        """The models that read ``xray`` or ``ct``."""
        return tuple(model for model in self.models if model.card.modality == modality)


def load_lineup(settings: Settings, installed: Mapping[str, Path] = MappingProxyType({})) -> Lineup:
    """Choose and load the models that the settings ask for; what fails is left out and said.

    ``installed``: folders of other versions, by the name of the model whose place they take; where one fails,
    the model of the model folder goes on.
    Raises SettingsError where the settings name models or classes that the cards do not have.
    """
    cards, broken = read_cards(settings.models_folder)
    folders = {name: settings.models_folder / name for name in cards}
    unusable: list[str] = []
    for name, folder in installed.items():
        try:
            if name in cards:
                cards[name], folders[name] = read_card(folder), folder
        except (OSError, ValueError) as error:
            unusable.append(f"model {name}, installed from the channel: {first_line(error)}")
    wanted, missing = _choose(settings, cards, broken)
    wanted[_CT_LUNGS], without = _lungs(wanted[CT_SEGMENTATION], cards)
    in_use = list(dict.fromkeys(name for names in wanted.values() for name in names))
    _check_thresholds(settings.thresholds, [cards[name] for name in in_use], broken)
    models, failures = load_models(
        {name: folders[name] for name in in_use},
        thresholds=settings.thresholds,
        provider=settings.provider,
        threads=settings.inference_threads,
    )
    if failed := [name for name in in_use if name in installed and name not in models]:
        others = {name: folder for name, folder in installed.items() if name not in failed}
        lineup = load_lineup(settings, others)
        return replace(lineup, load_problems=(*lineup.load_problems, *failures))
    loaded = {role: tuple(models[n] for n in names if n in models) for role, names in wanted.items()}
    problems = [f"model {name}: {why}" for name, why in broken.items()]
    problems += unusable + missing + without + failures
    joiners, unread = read_joiners(settings.models_folder)
    problems += [f"model {name}: {why}" for name, why in unread.items()]
    parts = (*loaded[CT_AXIAL], *loaded[CT_SAGITTAL], *loaded[CT_SEGMENTATION][:1])
    if settings.provider == "cuda":
        problems += _without_cuda(models.values())
    return Lineup(
        xray=loaded[XRAY],
        ct_reject=next(iter(loaded[CT_REJECT]), None),
        ct_classifiers=loaded[CT_AXIAL] + loaded[CT_SAGITTAL] + loaded[CT_VOLUME],
        ct_segmentation=next(iter(loaded[CT_SEGMENTATION]), None),
        ct_beside=loaded[CT_SEGMENTATION][1:],
        ct_lungs=next(iter(loaded[_CT_LUNGS]), None),
        ct_joiner=next((joiner for joiner in joiners if joiner.fits(parts)), None),
        load_problems=tuple(problems),
    )


def same_role(one: Card, other: Card) -> bool:
    """Whether a model can take the place of another: made for the same, and asked for the same."""
    return (
        all(role.fits(one) == role.fits(other) for role in ROLES)
        and one.needs_lungs == other.needs_lungs
        and {c.name for c in one.logits.classes} == {c.name for c in other.logits.classes}
    )


def default_model(role: Role, cards: Iterable[Card]) -> str | None:
    """The name of the model that ``auto`` takes: of those that fit the lowest rank, then the first name."""
    fitting = [card for card in cards if role.fits(card)]
    return min(fitting, key=lambda card: (card.default_rank, card.name)).name if fitting else None


def _lungs(segmenters: Sequence[str], cards: Mapping[str, Card]) -> tuple[list[str], list[str]]:
    """The model that finds lungs for segmenters that leave that to another, and what is missing for it."""
    chosen = [cards[name] for name in segmenters]
    wanting = [card.name for card in chosen if card.needs_lungs]
    if not wanting or any(card.input.volume is None for card in chosen):
        return [], []
    default = default_model(_CT_LUNGS, (card for card in cards.values() if card.input.volume is None))
    if default is None:
        return [], [f"{', '.join(wanting)}: the model folder has no slice-wise segmenter to find the lungs"]
    return [default], []


def _choose(
    settings: Settings, cards: Mapping[str, Card], broken: Mapping[str, str]
) -> tuple[dict[Role, list[str]], list[str]]:
    """The names of the models for each role, and what the model folder lacks.

    Raises SettingsError for names that no model of the folder has, or has for another role.
    """
    choice = settings.models
    chosen: dict[Role, list[str]] = {}
    missing: list[str] = []
    wrong: list[str] = []
    for role, names in (
        (XRAY, choice.xray),
        (CT_REJECT, (choice.ct_reject,)),
        (CT_AXIAL, choice.ct_axial),
        (CT_SAGITTAL, choice.ct_sagittal),
        (CT_VOLUME, choice.ct_volume),
        (CT_SEGMENTATION, choice.ct_segmentation),
    ):
        default = default_model(role, cards.values())
        fitting = [name for name, card in cards.items() if role.fits(card)]
        found: list[str] = []
        for name in dict.fromkeys(name for name in names if name):
            if name == AUTO and default:
                found.append(default)
            elif name == AUTO:
                missing.append(f"no model for {role.name} in the model folder")
            elif name in fitting:
                found.append(name)
            elif name in cards:
                wrong.append(f"Models.{role.name}: {name} is not made for that; {_known(fitting)}")
            elif name not in broken:
                wrong.append(f"Models.{role.name}: there is no model {name}; {_known(fitting)}")
        chosen[role] = list(dict.fromkeys(found))
    if wrong:
        raise SettingsError("; ".join(wrong))
    return chosen, missing


def _check_thresholds(
    thresholds: Mapping[str, Mapping[str, float]], cards: Sequence[Card], broken: Mapping[str, str]
) -> None:
    """Raise SettingsError where an operating point is set that no model in use has."""
    by_name = {card.name: card for card in cards}
    wrong: list[str] = []
    for name, classes in thresholds.items():
        if name in by_name:
            try:
                with_thresholds(by_name[name], classes)
            except ModelError as error:
                wrong.append(f"Thresholds.{name}: {error}")
        elif name not in broken:
            wrong.append(f"Thresholds.{name}: no such model is in use; in use are {', '.join(by_name)}")
    if wrong:
        raise SettingsError("; ".join(wrong))


def _without_cuda(models: Iterable[Model]) -> list[str]:
    """What to say where the settings want CUDA: nothing if every model got it."""
    why = why_no_cuda()
    if why is not None:
        return [f"Provider is cuda, but the models run on the CPU: {why}"]
    left = [model.card.name for model in models if model.provider != CUDA]
    return [f"Provider is cuda, but CUDA could not be started for {', '.join(left)}"] if left else []


def _known(names: Sequence[str]) -> str:
    return f"there are {', '.join(names)}" if names else "the model folder has none"
