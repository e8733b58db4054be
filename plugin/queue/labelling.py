"""Labels in Orthanc (since 1.12.0) that say what was found, so that a site can look for them.

A study has the labels of its series together. A site's own labels are left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from plugin.domain.errors import NotHeld
from plugin.domain.kinds import State
from plugin.domain.outcome import Outcome, outcome_of
from plugin.domain.pacs import Pacs
from plugin.queue.ledger import Entry, Ledger
from plugin.result_settings import Labels
from plugin.results.statement import Answer

log = logging.getLogger(__name__)

_CLEAR = {Answer.UNLIKELY, Answer.NONE_MARKED, Answer.FEW_MARKED, Answer.NOT_SUSPECTED}
"""The answers after which nobody has to look, unless a classifier says otherwise."""


class Labelling:
    """Keeps the labels of series and studies as the ledger has them. Never raises: labels are an extra."""

    def __init__(self, pacs: Pacs, ledger: Ledger, names: Labels) -> None:
        """``names``: the labels, empty where one is not wanted."""
        self._pacs = pacs
        self._ledger = ledger
        self._names = names
        self._own = frozenset(names.model_dump().values()) - {""}
        self._possible: bool | None = None

    def tell(self, series: str) -> None:
        """Label a series and its study by what the ledger has of it; nothing before it is settled."""
        if not self._own:
            return
        entry = self._ledger.get(series)
        if entry is None or entry.state in (State.WAITING, State.RUNNING):
            return
        try:
            if self._possible is None:
                self._possible = self._pacs.can_label()
            if self._possible:
                self._set("series", series, self._wanted(entry))
                self._tell_study(self._pacs.series(series).study)
        except (NotHeld, OSError) as error:
            log.warning("series %s is not labelled: %s", series, error)

    def _wanted(self, entry: Entry) -> set[str]:
        outcome = outcome_of(entry.outcome, entry.series) or Outcome(state=entry.state)
        said = {
            State.REJECTED: self._names.rejected,
            State.FAILED: self._names.failed,
            State.DONE: self._answer(outcome),
        }
        people = self._pacs.assessments(entry.series) or self._pacs.corrections(entry.series)
        reviewed = self._names.reviewed if people else ""
        return {said[entry.state], reviewed} - {""}

    def _answer(self, outcome: Outcome) -> str:
        if outcome.answer in (None, Answer.NOTHING_SAID):
            return ""
        called = outcome.findings is not None and any(c.positive for c in outcome.findings.classifications)
        return self._names.no_findings if outcome.answer in _CLEAR and not called else self._names.findings

    def _tell_study(self, study: str) -> None:
        every = set().union(*(self._pacs.labels("series", series) for series in self._pacs.study(study)))
        wanted = every & self._own
        if self._names.findings in wanted:
            wanted.discard(self._names.no_findings)
        self._set("studies", study, wanted)

    def _set(self, level: str, resource: str, wanted: Collection[str]) -> None:
        """Give a resource those of our labels that are wanted, and take the others of ours away."""
        held = self._pacs.labels(level, resource) & self._own
        self._pacs.label(level, resource, add=sorted(set(wanted) - held), remove=sorted(held - set(wanted)))
