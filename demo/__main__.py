"""``./run demo [FOLDER]``: studies into a real Orthanc with the plugin, results out, told as a table."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from demo.client import failures, save_results, upload, wait_until_loaded, wait_until_settled
from demo.server import ROOT, OrthancServer, ServerError
from demo.table import table


def make_studies(folder: Path) -> None:
    """The project's own synthetic studies, as DICOM files under ``folder``."""
    from demo.phantom import write_studies

    started = time.monotonic()
    print("Making a synthetic chest X-ray and a synthetic chest CT ...", flush=True)
    count = write_studies(folder)
    print(f"  {count} images in {time.monotonic() - started:.0f} s", flush=True)


def demonstrate(server: OrthancServer, folder: Path, files: Sequence[Path], *, must_be_read: bool) -> bool:
    """Send files to a running server, wait, print. Whether everything went well.

    ``must_be_read``: a series that is not accepted is a problem too.
    """
    print(f"Orthanc {server.get('/system')['Version']} runs at {server.url}", flush=True)
    status = wait_until_loaded(server)
    print(f"The plugin is {status['state']}{': ' if status['reason'] else ''}{status['reason'] or ''}")
    if status["state"] == "disabled":
        return False
    sources = upload(server, folder, files)
    settled = wait_until_settled(server, sources)
    results = ROOT / "var" / "demo" / time.strftime("%Y%m%d-%H%M%S")
    saved = save_results(server, sources, settled, results)
    print("\n" + table(sources, settled, saved))
    problems = failures(sources, settled, saved, must_be_read=must_be_read)
    for problem in problems:
        print(f"PROBLEM: {problem}", file=sys.stderr)
    return bool(sources) and not problems


def run(folder: Path, work: Path, *, must_be_read: bool) -> bool:
    """Demonstrate ``folder`` on a server of its own, whose data go to ``work``, and stop it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    server = OrthancServer(work / "pacs", chest_ai={"PollSeconds": 1})
    good = False
    try:
        server.start()
        good = demonstrate(server, folder, files, must_be_read=must_be_read)
    except OSError as error:  # Orthanc does not answer any more, or too late
        print(f"PROBLEM: {error}", file=sys.stderr)
    finally:
        if not good:
            print(f"The end of Orthanc's log:\n{server.log_tail()}", file=sys.stderr)
        server.stop()
        print("Orthanc has stopped.", flush=True)
    return good


def main(arguments: list[str] | None = None) -> int:
    """Run the demo over the folder in ``arguments``, or over synthetic studies."""
    parser = argparse.ArgumentParser(prog="./run demo")
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="default: synthetic studies")
    folder: Path | None = parser.parse_args(arguments).folder
    if folder is not None and not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that Orthanc is stopped, too
    with tempfile.TemporaryDirectory(prefix="chest-ai-demo-") as work:
        studies = folder or Path(work) / "studies"
        if folder is None:
            make_studies(studies)
        try:
            return 0 if run(studies, Path(work), must_be_read=folder is None) else 1
        except ServerError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
