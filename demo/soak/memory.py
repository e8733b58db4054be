"""Memory over many series: what the Orthanc process keeps after each, and whether that grows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from demo.measure import memory_mib, running, settled
from demo.soak.chapter import Chapter, Setup, close, say
from demo.soak.postman import Postman
from demo.soak.problems import Kind, Problem

LEAK_MIB = 2.0
"""So much more memory a series, over the second half of them, is a leak."""

_FEWEST = 20
"""With fewer series the slope tells nothing."""

_NO_CACHE = {"MaximumStorageCacheSize": 1}
"""Orthanc keeps up to 128 MB of the files it has read in memory: that growth is none of the plugin's."""

_RECIPES = ("xray", "ct", "xray of a hip")


def run(setup: Setup) -> Chapter:
    """Read ``setup.rounds`` series one after the other."""
    chapter = Chapter()
    memory: list[int] = []
    known: set[str] = set()
    with running(setup.server(orthanc=_NO_CACHE)) as server:
        postman = Postman(server.dicom_port)
        at_first = memory_mib(server)
        for number, recipe in zip(range(setup.rounds), cycle(_RECIPES), strict=False):
            postman.hand([setup.factory.make(number, recipe)])
            known |= {entry["series"] for entry in settled(server, known)}
            memory.append(memory_mib(server))
            say(f"series {number + 1} of {setup.rounds}, {recipe}: {memory[-1]} MiB")
        postman.finish(seconds=60)
        slope = slope_mib(memory)
        chapter.figures = {
            "memory": f"{at_first} MiB with the models loaded, {memory[-1]} MiB after {len(memory)} series, "
            f"at most {memory_mib(server, peak=True)} MiB",
            "slope": f"{slope:+.2f} MiB a series over the second half",
        }
        if len(memory) >= _FEWEST and slope > LEAK_MIB:
            text = f"memory grows by {slope:.2f} MiB a series, more than {LEAK_MIB}"
            chapter.problems.append(Problem(kind=Kind.SERVER, text=text))
        sent = [series.sent(postman.acknowledged) for series in postman.handed]
        close(server, chapter, sent, seconds=120)
    return chapter


def slope_mib(memory: Sequence[int]) -> float:
    """MiB a series by least squares over the second half of the series; 0 for fewer than two points."""
    half = memory[len(memory) // 2 :]
    if len(half) < 2:
        return 0.0
    return float(np.polyfit(np.arange(len(half)), half, 1)[0])
