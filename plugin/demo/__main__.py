"""``./run demo [FOLDER]``: studies into a real Orthanc with the plugin, results out, told as a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from plugin.demo.client import Sources, failures, save_results, upload, wait_until_settled
from plugin.demo.server import ROOT, OrthancServer, ServerError
from plugin.demo.table import table


def make_studies(folder: Path) -> None:
    """The project's own synthetic studies, as DICOM files under ``folder``."""
    from plugin.demo.phantom import write_studies

    started = time.monotonic()
    print("Making a synthetic chest X-ray and a synthetic chest CT ...", flush=True)
    count = write_studies(folder)
    print(f"  {count} images in {time.monotonic() - started:.0f} s", flush=True)


def run(folder: Path, synthetic: bool, work: Path) -> int:
    """Send ``folder``, wait, print. Returns the exit status; ``work`` is scratch space."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        print(f"{folder} holds no files", file=sys.stderr)
        return 1
    server = OrthancServer(work / "pacs", chest_ai={"PollSeconds": 1})
    server.start()
    try:
        status = server.get("/ai/status")
        print(f"Orthanc {server.get('/system')['Version']} runs at {server.url}; plugin: {status['state']}")
        if status.get("reason"):
            print(f"  {status['reason']}")
        if status["state"] == "disabled":
            return 1
        sources: Sources = upload(server, folder, files)
        if not sources:
            print("no DICOM file was stored", file=sys.stderr)
            return 1
        settled = wait_until_settled(server, sources)
        results = ROOT / "var" / "demo" / time.strftime("%Y%m%d-%H%M%S")
        saved = save_results(server, sources, settled, results)
        print("\n" + table(sources, settled, saved))
        problems = failures(sources, settled, saved, must_be_read=synthetic)
        for problem in problems:
            print(f"PROBLEM: {problem}", file=sys.stderr)
        return 1 if problems else 0
    finally:
        server.stop()
        print("Orthanc has stopped.")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo over the folder in ``arguments``, or over synthetic studies."""
    parser = argparse.ArgumentParser(prog="./run demo")
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER")
    folder: Path | None = parser.parse_args(arguments).folder
    if folder is not None and not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    with tempfile.TemporaryDirectory(prefix="chest-ai-demo-") as work:
        if folder is None:
            make_studies(Path(work) / "studies")
        try:
            return run(folder or Path(work) / "studies", folder is None, Path(work))
        except ServerError as error:
            print(error, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
