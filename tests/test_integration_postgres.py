"""A real Orthanc whose ledger is on a real PostgreSQL: restarts of either lose nothing."""

from __future__ import annotations

from pathlib import Path

from demo.fleet.postgres import PostgresServer
from tests.conftest import StartPacs, with_driver
from tests.pacs_client import all_results, settled, status, wait_ready, wait_until


def test_both_are_restarted_while_a_ct_is_read(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.create_database("orthanc")
    pacs = orthanc_server(orthanc={"PythonScript": str(with_driver(tmp_path))}, chest_ai={"Ledger": url})
    assert wait_ready(pacs)["state"] == "ready"
    pacs.store(synthetic["small_ct"])
    wait_until(lambda: status(pacs)["running"], seconds=120, what="the reading", pause=0.02)
    postgres.stop()
    wait_until(lambda: status(pacs)["state"] == "degraded", seconds=60, what="word of the ledger")
    assert pacs.get("/system")
    postgres.start()
    wait_until(lambda: status(pacs)["state"] == "ready", seconds=60, what="the end of the trouble")
    (entry,) = settled(pacs, 1).values()
    assert (entry["state"], entry["attempts"]) == ("done", 1), entry
    postgres.stop()
    pacs.stop()
    pacs.start()
    waiting = wait_until(lambda: status(pacs)["reason"] or "", seconds=60, what="why it does not start")
    wait_until(lambda: "cannot be opened" in status(pacs)["reason"], seconds=60, what=waiting)
    postgres.start()
    assert wait_ready(pacs)["state"] == "ready"
    assert settled(pacs, 1)[entry["series"]]["outputs"] == entry["outputs"]
    assert {kind: len(found) for kind, found in all_results(pacs).items()} == {
        "SR": 1,
        "DOC": 1,
        "SEG": 1,
        "OT": 0,
    }
