"""Kill storm: while series come in Orthanc is killed (SIGKILL), again and again, when the dice say so."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from demo.server import OrthancServer, ServerError
from demo.soak.audit import Sent
from demo.soak.chapter import Chapter, Setup, close, say, server_problem, wait_for_stage
from demo.soak.postman import Postman

MOMENTS = ("reception", "start", "any", "header", "decode", "segment", "results", "store", "store")
"""When Orthanc is killed; all but the first three are stages of a reading."""

ATTEMPTS = 3
"""As often as a reading is tried by default before its last try."""

_PATIENCE_SECONDS = 12.0
"""How long a stage is waited for."""

_SERIES_A_ROUND = (1, 1, 2, 3)
_SECONDS_A_SERIES = 60


def run(setup: Setup) -> Chapter:
    """Kill ``setup.rounds`` times, then let everything settle."""
    chapter = Chapter()
    rng = random.Random(f"kill {setup.seed}")
    server = setup.server()
    postman = Postman(server.dicom_port)
    moments: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    try:
        server.start()
        number = 0
        for round_ in range(setup.rounds):
            count = rng.choice(_SERIES_A_ROUND)
            postman.hand(setup.factory.make(number + index) for index in range(count))
            number += count
            moment = _wait_for_moment(server, rng)
            moments[moment] += 1
            if server.exit_status is not None:
                chapter.problems.append(server_problem(server, "Orthanc ended before it was killed"))
            struck.update(entry["series"] for entry in server.get("/ai/status")["running"])
            server.kill()
            server.start()
            say(f"kill {round_ + 1} of {setup.rounds}: {moment}; {number} series handed over")
        unsent = postman.finish(seconds=_SECONDS_A_SERIES * (number + 1))
        chapter.figures = {
            "kills": ", ".join(f"{count} {moment}" for moment, count in moments.items()),
            "struck": f"at most {max(struck.values(), default=0)} kills while one series was read",
            "series": f"{number}, {len(postman.acknowledged)} files acknowledged, {len(unsent)} not",
        }
        sent = [_owed(server, series.sent(postman.acknowledged), struck) for series in postman.handed]
        close(server, chapter, sent, seconds=_SECONDS_A_SERIES * (number + 1))
    except (OSError, ServerError) as error:
        chapter.problems.append(server_problem(server, str(error)))
    finally:
        postman.finish(seconds=0)
        server.kill()
    return chapter


def _owed(server: OrthancServer, sent: Sent, struck: Mapping[str, int]) -> Sent:
    """What may become of a series: one that was being read at every attempt's kill may be given up."""
    found = server.post("/tools/lookup", sent.uid.encode())
    kills = max((struck[entry["ID"]] for entry in found if entry["ID"] in struck), default=0)
    if kills < ATTEMPTS or not sent.expected:
        return sent
    return replace(sent, expected=(*sent.expected, "failed"))


def _wait_for_moment(server: OrthancServer, rng: random.Random) -> str:
    """Wait for the moment that the dice choose; tells which it was."""
    moment = rng.choice(MOMENTS)
    if moment == "reception":
        time.sleep(rng.uniform(0.0, 0.5))
    elif moment == "start":
        time.sleep(rng.uniform(0.0, 2.0))
    elif moment == "any":
        time.sleep(rng.uniform(0.0, 10.0))
    else:
        seen = wait_for_stage(server, moment, seconds=_PATIENCE_SECONDS)
        time.sleep(rng.uniform(0.0, 0.15))
        return moment if seen else f"{moment} (not seen)"
    return moment
