"""Burst: many series at once into the same Orthanc with the plugin and without, in alternating runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from demo.client import wait_until_loaded
from demo.measure import answer_times, percentile
from demo.server import OrthancServer
from demo.soak.audit import Sent
from demo.soak.chapter import Chapter, Setup, close, say, server_problem
from demo.soak.postman import Postman
from demo.soak.problems import Kind, Problem
from demo.soak.series import Series

_PAIRS = 2
_SENDERS = 3
_OTHER_PLUGINS = ("DicomWeb", "Gdcm")
_SECONDS_A_SERIES = 60


@dataclass(kw_only=True)
class Times:
    """What was measured in all runs of one kind: answers in seconds, files and MB a second."""

    answers: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    to_settle: list[float] = field(default_factory=list)


def run(setup: Setup) -> Chapter:
    """Send ``setup.rounds`` series at once, twice without and twice with the plugin."""
    chapter = Chapter()
    series = [setup.factory.make(number) for number in range(setup.rounds)]
    times = {"without": Times(), "with": Times()}
    for number in range(2 * _PAIRS):
        kind = ("without", "with")[number % 2]
        server = _server(setup, f"{kind}-{number}", plugin=kind == "with")
        try:
            server.start()
            if kind == "with":
                wait_until_loaded(server)
            sent = _burst(server, series, times[kind], chapter)
            if kind == "with":
                started = time.monotonic()
                close(server, chapter, sent, seconds=_SECONDS_A_SERIES * (len(series) + 1))
                times[kind].to_settle.append(time.monotonic() - started)
        except OSError as error:
            chapter.problems.append(server_problem(server, str(error)))
        finally:
            server.kill()
        say(f"burst {number + 1} of {2 * _PAIRS}: {kind} the plugin")
    if all(found.answers for found in times.values()):
        chapter.figures = _figures(times, len(series))
    return chapter


def _server(setup: Setup, name: str, *, plugin: bool) -> OrthancServer:
    if plugin:
        return setup.server(name)
    others = [f"/usr/share/orthanc/plugins/libOrthanc{other}.so" for other in _OTHER_PLUGINS]
    return setup.server(name, orthanc={"Plugins": others})


def _burst(server: OrthancServer, series: Sequence[Series], times: Times, chapter: Chapter) -> list[Sent]:
    """Send all series through several associations at once, and ask Orthanc meanwhile."""
    postmen = [Postman(server.dicom_port) for _ in range(_SENDERS)]

    def send() -> None:
        for number, postman in enumerate(postmen):
            postman.hand(series[number::_SENDERS])
        for postman in postmen:
            for file, reason in postman.finish(seconds=_SECONDS_A_SERIES * len(series)).items():
                chapter.problems.append(Problem(kind=Kind.SERVER, text=f"{file} was not taken: {reason}"))

    started = time.monotonic()
    times.answers += answer_times(server, send)
    seconds = time.monotonic() - started
    files = [file for one in series for file in one.files]
    times.files.append(len(files) / seconds)
    times.megabytes.append(sum(file.stat().st_size for file in files) / 1e6 / seconds)
    return [one.sent(postman.acknowledged) for postman in postmen for one in postman.handed]


def _figures(times: dict[str, Times], count: int) -> dict[str, str]:
    figures = {}
    for kind, found in times.items():
        median, most = 1000 * statistics.median(found.answers), 1000 * percentile(found.answers, 99)
        figures[f"{kind} the plugin"] = (
            f"/system {median:.1f} ms, 99 of 100 within {most:.1f} ms; "
            f"{statistics.mean(found.files):.0f} files and {statistics.mean(found.megabytes):.1f} MB a second"
        )
    ratio = statistics.median(times["with"].answers) / statistics.median(times["without"].answers)
    figures["latency"] = f"{ratio:.2f} times as long with the plugin, by the medians while series come in"
    settle = statistics.mean(times["with"].to_settle)
    figures["settled"] = f"{count} series {settle:.0f} s after the last file"
    return figures
