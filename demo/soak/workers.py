"""Workers: the engine "celery" with two workers, in which whatever can be lost is lost while a CT is read.

What the workers have left is then read once more by the embedded engine over the same ledger, which has to
make the very same objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from demo.client import wait_until_loaded
from demo.fleet.site import LEASE_SECONDS, Site, why_not
from demo.server import OrthancServer, ServerError, write_configuration
from demo.soak.audit import audit
from demo.soak.chapter import STABLE_AGE, Chapter, Setup, say, server_problem, wait_until_at_rest
from demo.soak.postman import Postman
from demo.soak.problems import Kind, Problem
from demo.soak.series import Series

_SECONDS_A_SERIES = 60
_PATIENCE_SECONDS = 60.0
_X_RAYS = 3
"""Of so many series that are sent one is a CT, and as many are its X-rays besides."""


def run(setup: Setup) -> Chapter:
    """Send ``setup.rounds`` series, and let one thing after another go wrong in mid-CT."""
    chapter = Chapter(skipped=why_not() or "")
    if chapter.skipped:
        return chapter
    started = time.monotonic()
    site = Site(setup.folder, stable_age=STABLE_AGE)
    try:
        site.start()
        wait_until_loaded(site.orthanc)
        for name in ("one", "two"):
            site.start_worker(name)
        _torture(setup, site, chapter)
        chapter.figures["seconds"] = f"{time.monotonic() - started:.0f}"
    except (OSError, ServerError, TimeoutError) as error:
        chapter.problems.append(server_problem(site.orthanc, f"{error}\n{site.logs()}"))
    finally:
        site.remove()
    return chapter


def _torture(setup: Setup, site: Site, chapter: Chapter) -> None:
    postman = Postman(site.orthanc.dicom_port)
    seconds = _SECONDS_A_SERIES * (setup.rounds + 1)
    share = max(1, setup.rounds // len(_TROUBLES))
    number = 0
    for index, (name, trouble) in enumerate(_TROUBLES.items()):
        last = index == len(_TROUBLES) - 1
        batch = _batch(setup, number, setup.rounds - number if last else share)
        number += len(batch)
        postman.hand(batch)
        say(f"{name}, while {_wait_for_reader(site)} reads a CT; {number} series handed over")
        trouble(site)
    unsent = postman.finish(seconds=seconds)
    for file, why in unsent.items():
        chapter.problems.append(Problem(kind=Kind.SERVER, text=f"{file} was not taken: {why}"))
    sent = [series.sent(postman.acknowledged) for series in postman.handed]
    if not wait_until_at_rest(site.orthanc, seconds=seconds):
        text = f"not at rest: {site.orthanc.get('/ai/status')}\n{site.logs()}"
        chapter.problems.append(Problem(kind=Kind.OPEN, text=text))
    chapter.problems += audit(site.orthanc, sent=sent)
    for worker in site.workers.values():
        if worker.exit_status is None:
            worker.stop()
    attempts = [int(entry["attempts"]) for entry in site.orthanc.get("/ai/series?limit=1000")]
    made = _outputs(site.orthanc)
    chapter.problems += _read_embedded(site, made)
    chapter.problems += audit(site.orthanc, sent=sent)
    results = sum(1 for outputs in made.values() for stored in outputs.values() if stored)
    chapter.figures |= {
        "series": f"{len(made)}, {results} results",
        "troubles": ", ".join(_TROUBLES),
        "attempts": f"at most {max(attempts, default=0)}",
    }


def _batch(setup: Setup, first: int, count: int) -> list[Series]:
    """A CT, X-rays after it."""
    kinds = ["ct" if index % (_X_RAYS + 1) == 0 else "xray" for index in range(count)]
    return [setup.factory.make(first + index, kind) for index, kind in enumerate(kinds)]


def _wait_for_reader(site: Site, stage: str = "segment") -> str:
    """The name of a worker that is segmenting a CT. Raises TimeoutError where none comes to that."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = site.reading(stage)
        if found:
            return next(iter(found))
        time.sleep(0.05)
    raise TimeoutError(f"no worker segments a CT: {site.orthanc.get('/ai/status')}")


def _kill_worker(site: Site) -> None:
    """Kill -9 of the worker that reads; another takes its place."""
    name = _wait_for_reader(site)
    site.workers[name].kill()
    site.start_worker(name)


def _kill_child(site: Site) -> None:
    """Kill -9 of what reads, under a worker that goes on."""
    site.workers[_wait_for_reader(site)].kill_child()


def _freeze_worker(site: Site) -> None:
    """Freeze the worker that reads, until another has its series, and wake it."""
    name = _wait_for_reader(site)
    series = site.reading()[name]
    site.workers[name].freeze()
    fence = _fence(site, series)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _fence(site, series) == fence:
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody took over the series of the frozen worker {name}")
        time.sleep(0.2)
    time.sleep(LEASE_SECONDS / 4)
    site.workers[name].wake()


def _fence(site: Site, series: str) -> tuple[int, str]:
    entry = site.orthanc.get(f"/ai/series/{series}")
    return entry["attempts"], entry["state"] if entry["state"] in ("done", "rejected", "failed") else ""


def _stop_worker(site: Site) -> None:
    """Tell the worker that reads to stop: it ends, or gives back, within its grace."""
    name = _wait_for_reader(site)
    site.workers[name].stop()
    site.start_worker(name)


def _restart_broker(site: Site) -> None:
    site.rabbit.kill()
    site.rabbit.start()


def _wipe_broker(site: Site) -> None:
    site.rabbit.wipe()
    site.rabbit.start()


def _restart_database(site: Site) -> None:
    site.postgres.stop()
    time.sleep(1)
    site.postgres.start()


def _restart_orthanc(site: Site) -> None:
    site.orthanc.stop()
    site.orthanc.start()


_TROUBLES: Mapping[str, Callable[[Site], None]] = {
    "a worker is killed": _kill_worker,
    "a worker runs out of memory": _kill_child,
    "the broker is restarted": _restart_broker,
    "a worker is frozen beyond its lease": _freeze_worker,
    "the database is restarted": _restart_database,
    "Orthanc is restarted": _restart_orthanc,
    "a worker is told to stop": _stop_worker,
    "the broker is wiped": _wipe_broker,
}


def _outputs(orthanc: OrthancServer) -> dict[str, dict[str, str]]:
    """Orthanc's ids of the results by series and kind: they are made of the results' UIDs."""
    return {entry["series"]: entry["outputs"] for entry in orthanc.get("/ai/series?limit=1000")}


def _read_embedded(site: Site, made: Mapping[str, Mapping[str, str]]) -> list[Problem]:
    """Read everything again inside Orthanc, over the same ledger, and compare."""
    orthanc = site.orthanc
    orthanc.stop()
    write_configuration(
        orthanc.data,
        http_port=orthanc.http_port,
        dicom_port=orthanc.dicom_port,
        stable_age=STABLE_AGE,
        chest_ai=site.section("embedded"),
        orthanc={"PythonScript": str(site.script)},
    )
    orthanc.start()
    wait_until_loaded(orthanc)
    say(f"the embedded engine reads all {len(made)} series again")
    for series in made:
        orthanc.post(f"/ai/series/{series}/run", b"")
    wait_until_at_rest(orthanc, seconds=_SECONDS_A_SERIES * (len(made) + 1))
    again = _outputs(orthanc)
    return [
        Problem(
            kind=Kind.UNEXPECTED,
            series=series,
            text=f"workers made {outputs}, the embedded engine {again.get(series)}",
        )
        for series, outputs in made.items()
        if outputs != again.get(series)
    ]
