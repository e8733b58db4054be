"""Whatever is wrong with the plugin, Orthanc starts, answers and stops; the status route says why."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ROOT, StartPacs
from tests.pacs_client import settled, wait_ready


def test_without_models_the_plugin_is_disabled_and_orthanc_runs(
    orthanc_server: StartPacs, tmp_path: Path
) -> None:
    empty = tmp_path / "no_models"
    empty.mkdir()
    pacs = orthanc_server(chest_ai={"ModelsFolder": str(empty)})
    status = wait_ready(pacs)
    assert status["state"] == "disabled"
    assert "no model for Xray" in status["reason"]
    assert pacs.get("/system")["DicomAet"] == "ORTHANC"
    pacs.stop()


def test_a_wrong_setting_is_named(orthanc_server: StartPacs) -> None:
    pacs = orthanc_server(chest_ai={"Treads": 2})
    status = wait_ready(pacs)
    assert status["state"] == "disabled"
    assert "ChestAI.Treads" in status["reason"]
    answer = pacs.request("GET", "/ai/series")
    assert answer.status_code == 503
    assert "ChestAI.Treads" in answer.json()["error"]
    pacs.stop()


def test_a_broken_model_is_left_out(orthanc_server: StartPacs, tmp_path: Path) -> None:
    models = tmp_path / "models"
    for folder in (ROOT / "onnx_models").glob("*/"):
        (models / folder.name).mkdir(parents=True)
        for file in folder.iterdir():
            (models / folder.name / file.name).symlink_to(file)
    broken = models / "ct-segment-compact"
    content = bytearray((broken / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (broken / "model.onnx").unlink()
    (broken / "model.onnx").write_bytes(content)
    status = wait_ready(orthanc_server(chest_ai={"ModelsFolder": str(models)}))
    assert status["state"] == "degraded"
    assert broken.name in status["reason"]
    assert "SHA-256" in status["reason"]
    assert broken.name not in [model["name"] for model in status["models"]]


def test_a_missing_library_is_named(orthanc_server: StartPacs, tmp_path: Path) -> None:
    script = tmp_path / "our_script.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "sys.modules['sqlalchemy'] = None\n"
        "from plugin.main import register\n"
        "register()\n"
    )
    status = wait_ready(orthanc_server(orthanc={"PythonScript": str(script)}))
    assert status["state"] == "disabled"
    assert "sqlalchemy" in status["reason"]


def test_a_site_registers_the_plugin_from_its_own_script(orthanc_server: StartPacs, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    script = tmp_path / "our_script.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from plugin.main import register\n"
        f"register(lambda change, level, resource: open({str(heard)!r}, 'a').write(str(change)))\n"
    )
    status = wait_ready(orthanc_server(orthanc={"PythonScript": str(script)}))
    assert status["state"] == "ready", status["reason"]
    assert heard.read_text()


def test_remote_access_without_users_disables_the_plugin(orthanc_server: StartPacs) -> None:
    open_to_all = {"RemoteAccessAllowed": True, "AuthenticationEnabled": False}
    status = wait_ready(orthanc_server(orthanc=open_to_all))
    assert status["state"] == "disabled"
    assert "RegisteredUsers" in status["reason"]
    trusted = wait_ready(orthanc_server(orthanc=open_to_all, chest_ai={"TrustedNetwork": True}))
    assert trusted["state"] == "ready", trusted["reason"]


def test_the_user_that_orthanc_makes_itself_is_no_protection(orthanc_server: StartPacs) -> None:
    pacs = orthanc_server(orthanc={"RemoteAccessAllowed": True})
    made_by_orthanc = ("orthanc", "orthanc")
    assert pacs.request("GET", "/system").status_code == 401
    assert pacs.request("GET", "/system", auth=made_by_orthanc).status_code == 200
    status = pacs.request("GET", "/ai/status", auth=made_by_orthanc).json()
    assert status["state"] == "disabled"
    assert "RegisteredUsers" in status["reason"]
    own = orthanc_server(orthanc={"RemoteAccessAllowed": True, "RegisteredUsers": {"mary": "s3cret"}})
    assert own.request("GET", "/ai/status", auth=made_by_orthanc).status_code == 401
    assert own.request("GET", "/ai/status", auth=("mary", "s3cret")).json()["state"] != "disabled"


def test_another_sites_page_and_a_large_body_are_refused(orthanc_server: StartPacs) -> None:
    pacs = orthanc_server()
    wait_ready(pacs)
    run = "/ai/series/00000000-00000000-00000000-00000000-00000000/run"
    own = {"Origin": pacs.url, "Sec-Fetch-Site": "same-origin"}
    for headers, code in (
        ({}, 404),
        (own, 404),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example.com:8042"}, 403),
    ):
        answer = pacs.request("POST", run, headers=headers)
        assert answer.status_code == code, (headers, answer.text)
    assert pacs.request("POST", run, data=bytes(100_000)).status_code == 413
    assert pacs.request("GET", "/ai/status", headers={"Host": "evil.example.com"}).status_code == 403


def test_what_is_not_there_is_answered_with_a_reason(orthanc_server: StartPacs) -> None:
    pacs = orthanc_server()
    wait_ready(pacs)
    nothing = "00000000-00000000-00000000-00000000-00000000"
    for method, path, code in (
        ("GET", f"/ai/series/{nothing}", 404),
        ("POST", f"/ai/series/{nothing}/run", 404),
        ("GET", "/ai/nothing", 404),
        ("GET", "/ai/series?state=asleep", 400),
        ("GET", "/ai/series?limit=0", 400),
        ("GET", "/ai/series?since=yesterday", 400),
    ):
        answer = pacs.request(method, path)
        assert answer.status_code == code, (path, answer.text)
        assert answer.json()["error"]
    not_allowed = pacs.request("POST", "/ai/status")
    assert (not_allowed.status_code, not_allowed.headers["Allow"]) == (405, "GET")
    assert pacs.get("/ai/series") == []
    assert len(pacs.get("/ai/models")) == len(pacs.get("/ai/status")["models"])


def test_a_second_orthanc_does_not_share_a_ledger(orthanc_server: StartPacs, tmp_path: Path) -> None:
    shared = {"Ledger": f"sqlite:///{tmp_path / 'shared.sqlite'}"}
    first = orthanc_server(chest_ai=shared)
    assert wait_ready(first)["state"] == "ready"
    second = wait_ready(orthanc_server(chest_ai=shared))
    assert second["state"] == "disabled"
    assert "belongs to another Orthanc" in second["reason"]
    first.kill()
    first.start()
    assert wait_ready(first)["state"] == "ready"


def test_a_broken_ledger_is_told_and_can_be_made_up_anew(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server()
    wait_ready(pacs)
    pacs.store(synthetic["xray"])
    before = settled(pacs, 1)
    pacs.stop()
    ledger = pacs.data / "db" / "chest-ai.sqlite"
    ledger.write_bytes(b"no database\n" * 500)
    pacs.start()
    status = wait_ready(pacs)
    assert status["state"] == "disabled"
    assert "BrokenLedger" in status["reason"]
    pacs.stop()
    pacs.configure(chest_ai={"BrokenLedger": "renew", "BacklogDays": 0})
    pacs.start()
    assert wait_ready(pacs)["state"] == "ready"
    after = settled(pacs, 1)
    for series, entry in after.items():
        assert (entry["state"], entry["outputs"]) == (before[series]["state"], before[series]["outputs"])
    assert len(list(ledger.parent.glob("chest-ai.sqlite.aside-*"))) == 1
