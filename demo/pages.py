"""What open pages cost: Orthanc's share of a core while nobody looks, and while many look at the worklist.

Each client asks as the page ``/ai/`` does, with the pauses that it makes while nothing is read and while
something is. The ledger is large; the first page has series with results.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from demo.measure import running, send_folder, settled
from demo.server import OrthancServer
from demo.soak.series import Factory

ENTRIES = 50_000
FILMS = 50
IDLE_SECONDS, BUSY_SECONDS = 10.0, 2.0
"""The page's pauses between two looks (plugin/web/page/worklist.js)."""
MEASURED_SECONDS = 30.0

_TICKS = os.sysconf("SC_CLK_TCK")


def pages_table(folder: Path, factory: Factory, count: int) -> None:
    """Print Orthanc's share of a core without pages, and with ``count`` of them open."""
    server = OrthancServer(folder / "pacs", stable_age=1)
    with running(server):
        for number in range(FILMS):
            factory.make(number, "xray")
        send_folder(server, folder / "sent")
        settled(server, set(), count=FILMS)
    _fill(server.data / "db" / "chest-ai.sqlite")
    print(f"\nOrthanc's share of a core, {ENTRIES} series in the ledger, {count} pages open\n")
    print("| | Share of a core | Requests | CPU for each (ms) |")
    print("|---|---|---|---|")
    with running(server):
        time.sleep(IDLE_SECONDS)
        without = _share(server)
        print(f"| no page | {without:.2%} | 0 | |", flush=True)
        for name, pause in (("nothing is read", IDLE_SECONDS), ("something is read", BUSY_SECONDS)):
            with _looking(server, count, pause) as answered:
                share = _share(server)
                asked = len(answered)
            each = 1000 * (share - without) * MEASURED_SECONDS / asked
            print(f"| {name} | {share:.2%} | {asked} | {each:.1f} |", flush=True)


def _share(server: OrthancServer) -> float:
    """Orthanc's CPU time over a while, as a share of one core."""
    before = _cpu(server)
    time.sleep(MEASURED_SECONDS)
    return (_cpu(server) - before) / MEASURED_SECONDS


def _cpu(server: OrthancServer) -> float:
    """Seconds of CPU that the process has had, in its own code and in the kernel's (proc(5))."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def _looking(server: OrthancServer, count: int, pause: float) -> Iterator[list[int]]:
    """So many pages, opened one after the other; gives the HTTP statuses that they have been answered."""
    stop = threading.Event()
    answered: list[int] = []

    def look(first: float) -> None:
        tag = ""
        wait = first
        while not stop.wait(wait):
            request = urllib.request.Request(  # noqa: S310 - the Orthanc that was just started
                f"{server.url}/ai/worklist?", headers={"If-None-Match": tag} if tag else {}
            )
            try:
                with urllib.request.urlopen(request) as answer:  # noqa: S310
                    answer.read()
                    tag = answer.headers.get("ETag") or ""
                    answered.append(answer.status)
            except urllib.error.HTTPError as error:
                if error.code != 304:
                    raise
                answered.append(error.code)
            wait = pause

    threads = [
        threading.Thread(target=look, args=(pause * number / count,), daemon=True) for number in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _fill(ledger: Path) -> None:
    """Copy a series in the ledger's file again and again, each copy older than all that is there."""
    with closing(sqlite3.connect(ledger)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(series)")]
        copied = {
            "series": "printf('%08x-00000000-00000000-00000000-00000000', number)",
            "updated_at": "updated_at - 86400 - number",
        }
        values = ", ".join(copied.get(column, f'"{column}"') for column in columns)
        numbers = "SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?"
        copies = f"SELECT {values} FROM numbers, (SELECT * FROM series LIMIT 1)"  # noqa: S608 - columns alone
        database.execute(
            f"WITH RECURSIVE numbers(number) AS ({numbers}) INSERT INTO series {copies}", [ENTRIES]
        )
