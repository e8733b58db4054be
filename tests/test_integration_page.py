"""The page as a reader has it: a real Orthanc, a real Chromium, the keyboard."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, Route, expect

from demo.server import ORTHANC, ROOT
from plugin.models.cards import read_card
from tests.browser import AXE, CHROMIUM, chromium, opened, violations
from tests.conftest import Pacs, StartPacs
from tests.pacs_client import settled, wait_until

pytestmark = [
    pytest.mark.skipif(not Path(ORTHANC).exists(), reason="Orthanc is not installed"),
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]

expect.set_options(timeout=60_000)

MARKUP = "<script>alert(1)</script>"
STATION = "RÖ 2 & 3 <b>"

PAINTED = """() => {
    const canvas = document.querySelector('.viewer canvas');
    if (canvas === null) return false;
    const all = [0, 0, canvas.width, canvas.height];
    return canvas.width > 0 && canvas.getContext('2d').getImageData(...all).data.some((value) => value > 0);
}"""


@dataclass(frozen=True, kw_only=True)
class Read:
    """An Orthanc that has read a film, whose patient has a name with markup in it, and a CT."""

    pacs: Pacs
    entries: dict[str, dict[str, Any]]

    @property
    def url(self) -> str:
        return f"{self.pacs.url}/ai/"


def _named(file: Path, folder: Path, name: str) -> Path:
    dataset = pydicom.dcmread(file)
    dataset.PatientName, dataset.PatientID = name, "P-77"
    dataset.StationName = STATION
    renamed = folder / file.name
    dataset.save_as(renamed)
    return renamed


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, synthetic: dict[str, list[Path]]) -> Iterator[Read]:
    folder = tmp_path_factory.mktemp("page")
    pacs = Pacs(folder / "pacs", stable_age=2)
    try:
        pacs.start()
        film = _named(synthetic["xray"][0], folder, f"{MARKUP}^Jane")
        pacs.upload([film, *synthetic["small_ct"]])
        entries = {entry["modality"]: entry for entry in settled(pacs, 2).values()}
        assert {entry["state"] for entry in entries.values()} == {"done"}, entries
        yield Read(pacs=pacs, entries=entries)
    finally:
        pacs.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def window(browser: Browser) -> Iterator[Page]:
    troubles: list[str] = []
    page = opened(browser, troubles, viewport={"width": 1280, "height": 900})
    yield page
    page.context.close()
    assert troubles == []


def _rows(page: Page) -> Any:
    return page.locator("table.worklist tbody tr")


def test_the_worklist_tells_names_as_text(read: Read, window: Page) -> None:
    window.goto(read.url)
    expect(_rows(window)).to_have_count(2)
    expect(window.locator("table.worklist")).to_contain_text(MARKUP)
    assert window.locator("main script").count() == 0
    window.goto(f"{read.url}#/series/{read.entries['xray']['series']}")
    expect(window.locator("h1")).to_contain_text(MARKUP)


def test_without_the_slash_the_page_is_found_too(read: Read, window: Page) -> None:
    window.goto(read.url)
    troubles: list[str] = []
    page = opened(window.context.browser, troubles)
    page.goto(f"{read.pacs.url}/ai#/models")
    expect(page.locator("article.card").first).to_be_visible()
    assert page.url == f"{read.url}#/models"
    page.context.close()


def test_by_keyboard_from_the_worklist_into_a_series_and_back(read: Read, window: Page) -> None:
    window.goto(read.url)
    expect(_rows(window)).to_have_count(2)
    for _ in range(30):
        window.keyboard.press("Tab")
        if window.evaluate("document.activeElement.classList.contains('who')"):
            break
    first = window.evaluate("document.activeElement.getAttribute('href')")
    window.keyboard.press("ArrowDown")
    assert window.evaluate("document.activeElement.getAttribute('href')") != first
    window.keyboard.press("ArrowUp")
    window.keyboard.press("Enter")
    expect(window.locator(".said section").first).to_be_visible()
    window.keyboard.press("Tab")  # the content has the focus; its first link leads back
    window.keyboard.press("Enter")
    expect(_rows(window)).to_have_count(2)


def test_filters_and_their_end(read: Read, window: Page) -> None:
    window.goto(read.url)
    expect(_rows(window)).to_have_count(2)
    window.get_by_label("Modality").select_option("ct")
    expect(_rows(window)).to_have_count(1)
    window.locator("#filter-state").select_option("failed")
    expect(_rows(window)).to_have_count(0)
    window.get_by_role("button", name="Clear").click()
    expect(_rows(window)).to_have_count(2)
    window.get_by_label("Patient name or ID").fill("jane")
    expect(_rows(window)).to_have_count(1)
    expect(_rows(window)).to_contain_text("X-ray")
    window.get_by_label("Patient name or ID").fill("nobody at all")
    expect(_rows(window)).to_have_count(0)


def test_what_is_wanted_is_in_the_address(read: Read, window: Page) -> None:
    """By keyboard; a bookmark opens the same, a series leads back to it, and no patient is in it."""
    window.goto(read.url)
    expect(_rows(window)).to_have_count(2)
    _tab_to(window, "#filter-text")
    window.keyboard.type("P-77")
    _tab_to(window, "#filter-modality")
    window.keyboard.press("ArrowDown")
    _tab_to(window, "#filter-order")
    window.keyboard.press("End")
    expect(_rows(window)).to_have_count(1)
    there = f"{read.url}#/?modality=xray&order=state"
    assert window.url == there
    expect(window.locator("th.verdict")).to_have_attribute("aria-sort", "other")
    _rows(window).locator("a").click()
    window.get_by_role("link", name="Back to the worklist").click()
    expect(_rows(window)).to_have_count(1)
    assert window.url == there
    bookmark = window.context.new_page()
    bookmark.goto(f"{read.url}#/?modality=ct&order=oldest&impression=<b>")
    expect(_rows(bookmark)).to_have_count(1)
    expect(_rows(bookmark)).to_contain_text("CT")
    expect(bookmark.locator("#filter-impression")).to_have_value("")
    expect(bookmark.locator("#filter-order")).to_have_value("oldest")
    expect(bookmark.locator("th.time")).to_have_text("Arrived")
    bookmark.get_by_role("button", name="Clear").click()
    expect(_rows(bookmark)).to_have_count(2)
    assert bookmark.url == f"{read.url}#/"
    bookmark.close()


def test_a_station_is_chosen_by_its_name(read: Read, window: Page) -> None:
    window.goto(read.url)
    expect(window.locator("#filter-station option")).to_have_text(["All", STATION])
    window.locator("#filter-station").select_option(STATION)
    expect(_rows(window)).to_have_count(1)
    expect(_rows(window)).to_contain_text(STATION)
    window.reload()
    expect(_rows(window)).to_have_count(1)
    expect(window.locator("#filter-station")).to_have_value(STATION)


def test_the_most_urgent_comes_first(read: Read, window: Page) -> None:
    asked = {order: read.pacs.get(f"/ai/worklist?order={order}")["series"] for order in ("urgency", "oldest")}
    ranks = {"positive": 0, "borderline": 1, "negative": 2}
    urgent = [ranks[row["impression"]] for row in asked["urgency"]]
    assert urgent == sorted(urgent)
    window.goto(f"{read.url}#/?order=urgency")
    expect(_rows(window).first.locator("a")).to_have_attribute(
        "href", f"#/series/{asked['urgency'][0]['series']}"
    )
    expect(window.locator("th.score")).to_have_attribute("aria-sort", "descending")


def test_the_small_picture_of_a_ct_has_the_marks_and_is_fetched_once(read: Read, window: Page) -> None:
    """Of the very slice that the reading chose; a list that is drawn anew asks for no picture again."""
    asked: list[str] = []
    window.on("request", lambda request: asked.append(request.url) if "/rendered" in request.url else None)
    window.goto(f"{read.url}#/?modality=ct")
    picture = window.locator(".thumbnail")
    expect(picture).to_have_count(1)
    window.wait_for_function("() => document.querySelector('.thumbnail img').naturalWidth > 0")
    kept = read.entries["ct"]["thumbnail"]
    assert kept["outlines"]
    expect(picture.locator("polygon")).to_have_count(len(kept["outlines"]))
    expect(picture.locator(".nothing")).to_have_count(0)
    assert [url.split("/instances/")[1].split("/")[0] for url in asked] == [kept["instance"]]
    window.locator("#filter-order").select_option("oldest")
    expect(window.locator("th.time")).to_have_text("Arrived")
    window.locator("#filter-modality").select_option("")
    expect(_rows(window)).to_have_count(2)
    assert sum(kept["instance"] in url for url in asked) == 1


def test_where_nothing_was_marked_a_ring_says_so(read: Read, window: Page) -> None:
    def unmarked(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        for row in told["series"]:
            if row["thumbnail"]:
                row["thumbnail"]["outlines"] = []
        route.fulfill(response=answer, json=told)

    window.route("**/ai/worklist?*", unmarked)
    window.goto(read.url)
    expect(window.locator(".thumbnail .nothing")).to_have_count(1)
    expect(window.locator(".thumbnail polygon")).to_have_count(0)


def test_the_slices_of_a_ct_and_what_was_marked(read: Read, window: Page) -> None:
    window.goto(f"{read.url}#/series/{read.entries['ct']['series']}")
    canvas = window.locator(".viewer canvas")
    window.wait_for_function(PAINTED)
    expect(window.locator(".legend li")).to_have_count(3)
    slider = window.get_by_label("Slice", exact=True)
    before = window.locator(".viewer img").get_attribute("src")
    slider.focus()
    window.keyboard.press("ArrowRight")
    expect(window.locator(".viewer img")).not_to_have_attribute("src", before or "")
    window.get_by_label("Show what was marked").uncheck()
    expect(canvas).to_be_hidden()
    window.wait_for_function("() => document.querySelector('.viewer img').naturalWidth > 0")


def test_what_is_said_of_a_series(read: Read, window: Page) -> None:
    entry = read.entries["xray"]
    window.goto(f"{read.url}#/series/{entry['series']}")
    expect(window.locator(".films img")).to_have_count(2)
    said = window.locator(".said")
    expect(said).to_contain_text("of 100, positive from")
    expect(said.get_by_role("link", name="PDF")).to_have_attribute(
        "href", f"{read.pacs.url}/instances/{entry['outputs']['pdf']}/pdf"
    )
    version = read_card(ROOT / "onnx_models" / "xray-covid-lite0").version
    expect(said).to_contain_text(f"xray-covid-lite0 {version}, ")
    expect(said.get_by_role("link", name="Open in Orthanc Explorer")).to_be_visible()


def test_how_far_the_volumes_of_a_ct_may_be_off(read: Read, window: Page) -> None:
    entry = read.entries["ct"]
    low, high = entry["findings"]["lungs"]["drawn"]["findings_ml"]
    window.goto(f"{read.url}#/series/{entry['series']}")
    said = f"Margin of error: where this much is marked, an expert may outline {low:,.0f} to {high:,.0f} mL"
    expect(window.locator(".said")).to_contain_text(said)


def test_a_study_and_orthancs_own_explorer_that_leads_there(read: Read, window: Page) -> None:
    series = read.entries["ct"]["series"]
    study = read.pacs.get(f"/series/{series}/study")["ID"]
    told = read.pacs.get(f"/ai/studies/{study}")
    stored = [instance for instance in told["series"][0]["outputs"].values() if instance]
    held = {read.pacs.get(f"/instances/{instance}/series")["ID"] for instance in stored}
    assert (set(told["results"]), told["others"]) == (held, [])
    window.goto(f"{read.url}#/study/{study}")
    expect(_rows(window)).to_have_count(1)
    expect(window.locator("td.score")).to_contain_text("of")
    expect(window.locator("main")).not_to_contain_text("is not read")  # its results are no other series
    for level, name, there in (("study", study, "table.worklist"), ("series", series, ".said section")):
        window.goto(f"{read.pacs.url}/app/explorer.html#{level}?uuid={name}")
        with window.context.expect_page() as opening:
            window.locator(f"#chest-ai-{level}").click()
        expect(opening.value.locator(there).first).to_be_visible()
        assert opening.value.url == f"{read.url}#/{level}/{name}"
        opening.value.close()


def test_it_is_read_again_and_its_progress_is_seen(read: Read, window: Page) -> None:
    window.goto(f"{read.url}#/series/{read.entries['ct']['series']}")
    window.get_by_role("button", name="Read again").click()
    expect(window.locator(".standing progress")).to_be_visible()
    expect(window.get_by_role("button", name="Read again")).to_be_visible(timeout=120_000)
    expect(window.locator(".standing .label")).not_to_have_text("Waiting", timeout=120_000)
    settled(read.pacs, 2)


def _tab_to(page: Page, selector: str) -> None:
    """Go on by the tabulator until an element that fits has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_a_ct_is_reviewed_by_keyboard_alone(read: Read, window: Page) -> None:
    series = read.entries["ct"]["series"]
    window.goto(read.url)
    expect(_rows(window)).to_have_count(2)
    _tab_to(window, f"a.who[href='#/series/{series}']")
    window.keyboard.press("Enter")
    expect(window.locator(".review form")).to_be_visible()
    _tab_to(window, "input[name=decision]")
    window.keyboard.press("Space")
    window.keyboard.press("ArrowDown")  # from accept to modify
    _tab_to(window, "#corrected")
    window.keyboard.press("ArrowDown")
    _tab_to(window, "#review-text")
    window.keyboard.type(f"{MARKUP} is atelectasis.")
    _tab_to(window, "#review-name")
    window.keyboard.type("Silva^Mary")
    window.keyboard.press("Enter")
    word = window.locator(".word")
    expect(word).to_contain_text(f"{MARKUP} is atelectasis.")
    expect(word).to_contain_text("Silva, Mary")
    assert window.locator("main script").count() == 0
    (said,) = read.pacs.get(f"/ai/series/{series}")["reviews"]
    assert (said["decision"], said["verified"], said["current"]) == ("modify", False, True)
    assert said["corrected"]
    document = pydicom.dcmread(io.BytesIO(read.pacs.read(f"/instances/{said['report']}/file")))
    assert document.VerificationFlag == "UNVERIFIED"
    window.get_by_role("link", name="Back to the worklist").click()
    row = _rows(window).filter(has=window.locator(f"a[href='#/series/{series}']"))
    expect(row).to_contain_text("Changed")


def test_the_user_whom_orthanc_knows_verifies(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    users = {"mary": "s3cret", "john": "s3cret2"}
    pacs = orthanc_server(
        orthanc={"AuthenticationEnabled": True, "RegisteredUsers": users},
        chest_ai={
            "Reviews": {"Reviewers": {"mary": {"Name": "Silva^Mary", "Organization": "Hospital"}}},
        },
    )
    mary, john = (requests.Session() for _ in users)
    mary.auth, john.auth = users.items()
    film = synthetic["xray"][0].read_bytes()
    series = mary.post(f"{pacs.url}/instances", data=film, timeout=60).json()["ParentSeries"]
    route = f"{pacs.url}/ai/series/{series}"

    def done() -> dict[str, Any] | None:
        entry = mary.get(route, timeout=60).json()
        return entry if entry.get("state") == "done" else None

    entry = wait_until(done, seconds=120, what="the reading", pause=0.5)
    word = {"decision": "accept", "assessed": entry["outputs"]["sr"], "name": "Somebody^Else"}
    assert requests.post(f"{route}/review", json=word, timeout=60).status_code == 401
    assert john.post(f"{route}/review", json=word, timeout=60).status_code == 403
    foreign = {"Origin": "https://evil.example.com"}
    assert mary.post(f"{route}/review", json=word, headers=foreign, timeout=60).status_code == 403
    answer = mary.post(f"{route}/review", json=word, timeout=60)
    assert answer.status_code == 200, answer.text
    (said,) = answer.json()["reviews"]
    assert (said["by"], said["organization"], said["verified"]) == ("Silva^Mary", "Hospital", True)
    # Read again: the word stays, and the software clears only its own results away.
    assert mary.post(f"{route}/run", timeout=60).status_code == 200
    wait_until(
        lambda: mary.get(route, timeout=60).json()["updated_at"] > entry["updated_at"] and done(),
        seconds=120,
        what="the second reading",
        pause=0.5,
    )
    assert mary.get(f"{pacs.url}/instances/{said['report']}", timeout=60).status_code == 200
    assert mary.get(route, timeout=60).json()["reviews"][0]["decision"] == "accept"


def test_a_hidden_page_asks_for_nothing(read: Read, window: Page) -> None:
    asked: list[str] = []
    window.on("request", lambda request: asked.append(request.url) if "/ai/worklist" in request.url else None)
    window.goto(read.url)
    expect(_rows(window)).to_have_count(2)
    window.evaluate("hide(true)")
    window.wait_for_timeout(500)
    before = len(asked)
    window.wait_for_timeout(11_000)
    assert len(asked) == before
    window.evaluate("hide(false)")
    window.wait_for_timeout(1_000)
    assert len(asked) == before + 1


def test_it_speaks_portuguese_and_remembers_that(read: Read, window: Page) -> None:
    window.goto(read.url)
    window.get_by_label("Language").select_option("pt")
    expect(window.locator("h1")).to_have_text("Lista de trabalho")
    assert window.evaluate("document.documentElement.lang") == "pt-BR"
    window.reload()
    expect(window.locator("h1")).to_have_text("Lista de trabalho")


@pytest.mark.skipif(not AXE.exists(), reason=f"axe-core is not in {AXE} (./run test fetches it)")
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_keeps_anybody_out(read: Read, window: Page, theme: str, width: int) -> None:
    """Contrast, names, roles and order by axe-core, in both themes, on a desk and on a phone."""
    window.set_viewport_size({"width": width, "height": 844})
    window.add_init_script(f"localStorage.setItem('chest-ai-theme', '{theme}')")
    for place, there in (
        ("", "table.worklist"),
        (f"#/series/{read.entries['ct']['series']}", ".legend li"),
        (f"#/series/{read.entries['xray']['series']}", ".films img"),
        ("#/models", "article.card"),
    ):
        window.goto(read.url + place)
        expect(window.locator(there).first).to_be_visible()
        assert window.evaluate("document.documentElement.dataset.theme") == theme
        assert violations(window) == [], place
        wide = window.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"{place} is wider than {width}"
