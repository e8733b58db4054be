"""``./run worker``: a worker of the engine "celery", until it is stopped."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from plugin.remote.broker import QUEUES
from plugin.settings import SettingsError

_DESCRIPTION = 'Read for an Orthanc whose ChestAI.Engine is "celery", until it is stopped.'


def main() -> None:
    """Start the worker that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="./run worker", description=_DESCRIPTION)
    parser.add_argument(
        "--queues",
        default=",".join(QUEUES.values()),
        help=f"what it reads (default: {','.join(QUEUES.values())})",
    )
    parser.add_argument(
        "--configuration",
        type=Path,
        default=Path("/etc/orthanc"),
        help="Orthanc's configuration, a file or a folder (default: /etc/orthanc)",
    )
    parser.add_argument("--name", default="", help="how /ai/status calls it (default: this machine's name)")
    options = parser.parse_args()
    unknown = set(options.queues.split(",")) - set(QUEUES.values())
    if unknown:
        parser.error(f"there is no queue {', '.join(sorted(unknown))}: {', '.join(QUEUES.values())}")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("plugin").setLevel(logging.INFO)
    os.environ["CHEST_AI_CONFIGURATION"] = str(options.configuration.resolve())
    os.environ["CHEST_AI_WORKER_NAME"] = options.name
    try:
        from plugin.remote.worker import app
    except SettingsError as error:
        sys.exit(f"run worker: {error}")
    app.worker_main(["worker", "-Q", options.queues, "--without-heartbeat", "--loglevel", "WARNING"])


if __name__ == "__main__":
    main()
