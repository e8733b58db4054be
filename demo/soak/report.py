"""How a soak tells what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from demo.soak.chapter import Chapter
from demo.soak.problems import Problem


def table(chapters: Mapping[str, Chapter], commands: Mapping[str, str]) -> str:
    """Problems in full, figures, and a row a chapter with the command that repeats it."""
    lines = []
    for name, chapter in chapters.items():
        lines += [f"{name}: {line}" for line in _told(chapter)]
    lines += ["", "| Chapter | Found | Repeat with |", "|---|---|---|"]
    lines += [f"| {name} | {_found(chapter)} | `{commands[name]}` |" for name, chapter in chapters.items()]
    return "\n".join(lines)


def listed(problems: Iterable[Problem]) -> str:
    """One line a problem."""
    return "\n".join(f"PROBLEM {problem}" for problem in problems)


def _told(chapter: Chapter) -> Iterable[str]:
    yield from (f"{what}: {figure}" for what, figure in chapter.figures.items())
    yield from (f"PROBLEM {problem}" for problem in chapter.problems)


def _found(chapter: Chapter) -> str:
    if chapter.skipped:
        return f"skipped: {chapter.skipped}"
    kinds = Counter(str(problem.kind) for problem in chapter.problems)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing"
