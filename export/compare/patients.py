"""Who teaches the networks of a comparison of CT: so many patients with COVID-19, and all without."""

from __future__ import annotations

from collections.abc import Sequence

from export.data import ct

COUNTED = "patients with COVID-19"


def teachers(fold: int, cases: int | None) -> list[str]:
    """Outside a fold all patients, or so many of those with COVID-19, both collections in turn, and the rest.

    Raises ValueError where there are fewer.
    """
    inside = [name for name in ct.chest_names() if ct.fold_of(name) != fold]
    covid = with_covid(inside)
    counted = _in_turn(covid)
    if cases is not None and not 0 < cases <= len(counted):
        raise ValueError(f"{cases} patients asked for, {len(counted)} are outside fold {fold}")
    return [*counted[:cases], *(name for name in inside if name not in covid)]


def with_covid(patients: Sequence[str]) -> list[str]:
    """Those of them who have COVID-19."""
    known = set(ct.covid_names())
    return [name for name in patients if name in known]


def _in_turn(names: Sequence[str]) -> list[str]:
    """One of each collection after the other, so that a few patients are of both."""
    sources = [[n for n in names if ct.source_of(n) == s] for s in sorted({ct.source_of(n) for n in names})]
    placed = [(place, number, n) for number, same in enumerate(sources) for place, n in enumerate(same)]
    return [name for _, _, name in sorted(placed)]
