"""What Orthanc loads: registers the plugin, starts and stops it. No logic.

Orthanc refuses to start when its Python script raises, so nothing but the standard library and Orthanc's
own module is imported before everything else is guarded: whatever is wrong makes the plugin
``disabled: why`` on ``/ai/status``, and Orthanc runs on.

Orthanc loads one Python script. A site that has its own writes there::

    import sys
    sys.path.insert(0, "/opt/orthanc-chest-ai")
    from plugin.main import register
    on_change = register(own_on_change)

where ``own_on_change(change_type, level, resource)``, if given, is called after the plugin's own
callback, since Orthanc takes one of each kind.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orthanc

_READ_LEVELS = (orthanc.ResourceType.SERIES, orthanc.ResourceType.INSTANCE)

ROOT = Path(__file__).resolve().parent.parent

OnChange = Callable[[Any, Any, str], None]

# The callbacks that Orthanc has, kept alive: at its stop the Python plugin (seen in 5.0) gives them back
# without holding the interpreter's lock, and one that died of it would take Orthanc down with it.
_kept: list[Callable[..., None]] = []


def register(site_on_change: OnChange | None = None) -> None:
    """Register the plugin with Orthanc. Never raises: what is wrong is said on ``/ai/status``."""
    service: Any = None
    try:
        _find_packages()
        service, rest = _build()
    except Exception as error:  # noqa: BLE001 - a PACS never stays down because of this plugin
        why = f"{type(error).__name__}: {error}"
        orthanc.LogError(f"ChestAI: disabled: {why}")
        rest = _disabled(why)
    orthanc.RegisterRestCallback("/ai(/.*)?", rest)

    def on_change(change: Any, level: Any, resource: str) -> None:
        if service is not None:
            if change == orthanc.ChangeType.ORTHANC_STARTED:
                service.start()
            elif change == orthanc.ChangeType.ORTHANC_STOPPED:
                service.stop()
            elif change == orthanc.ChangeType.STABLE_SERIES:
                service.wake()
            elif change == orthanc.ChangeType.DELETED and level in _READ_LEVELS:
                service.deleted(resource)
        if site_on_change is not None:
            site_on_change(change, level, resource)

    orthanc.RegisterOnChangeCallback(on_change)
    _kept.extend([rest, on_change])


def _find_packages() -> None:
    """Put the package and the virtual environments beside it, as far as they exist, on the path.

    Orthanc has put the folder of this script itself on the path, where ``settings`` or ``models`` would
    hide other packages' modules: it is taken off.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = str(ROOT / "plugin")
    sys.path[:] = [entry for entry in sys.path if entry != own]
    environments = [ROOT / name / "lib" / version / "site-packages" for name in (".venv-worker", ".venv")]
    for folder in (*environments, ROOT):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def _build() -> tuple[Any, Callable[..., None]]:
    """The service with Orthanc's configuration, and the callback of its routes.

    Raises SettingsError where the settings are wrong, switch it off, or Orthanc lets in anybody.
    """
    from plugin import pacs
    from plugin.service import Service
    from plugin.settings import SettingsError, read_settings
    from plugin.web.access import Guard, asks_for_passwords, why_unprotected
    from plugin.web.server import rest_callback
    from plugin.web.users import Users

    configuration = pacs.configuration()
    settings = read_settings(configuration)
    if not settings.enabled:
        raise SettingsError("switched off by the setting Enabled")
    open_to_all = why_unprotected(configuration)
    if open_to_all is not None and not settings.trusted_network:
        raise SettingsError(
            f"{open_to_all}. Give RegisteredUsers of your own, or set ChestAI.TrustedNetwork where a proxy"
            " asks for passwords"
        )
    _log_to_orthanc(pacs.OrthancLog())
    if settings.explorer_button:
        pacs.extend_explorer((ROOT / "plugin" / "web" / "explorer.js").read_text(encoding="utf-8"))
    service = Service(
        pacs.Pacs(
            series_metadata=settings.series_metadata,
            max_instance_mb=settings.max_instance_mb,
            storage=pacs.storage_folder(configuration),
        ),
        settings,
        ledger_url=settings.ledger or pacs.ledger_url(configuration),
        stable_age=float(configuration.get("StableAge", 60)),
        name=f"{socket.gethostname()}:{configuration.get('HttpPort', 8042)}",
    )
    hosts = {name.lower() for name in settings.allowed_hosts}
    passwords = asks_for_passwords(configuration)
    users = Users(passwords=passwords, header=settings.reviews.user_header.lower())
    return service, rest_callback(service, Guard(any_host=passwords, hosts=hosts), users)


def _log_to_orthanc(handler: logging.Handler) -> None:
    logger = logging.getLogger("plugin")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _disabled(why: str) -> Callable[..., None]:
    """The callback of the routes where there is no service."""
    from plugin.web.answers import send_json
    from plugin.web.pages import send_page

    def disabled(output: Any, uri: str, **request: Any) -> None:
        path = uri.removeprefix("/ai").strip("/")
        if send_page(output, request.get("method", "GET"), path):
            return
        if path != "status":
            send_json(output, 503, {"error": f"disabled: {why}"})
            return
        counts = dict.fromkeys(("waiting", "running", "done", "rejected", "failed"), 0)
        status = {"state": "disabled", "reason": why, "version": None, "counts": counts}
        send_json(output, 200, status | {"modalities": {}, "models": [], "running": []})

    return disabled


if __name__ == "main":
    # Orthanc imports its script by the name of the file; any other name is a site's own import.
    register()
