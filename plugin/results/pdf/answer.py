"""What every report's page holds: who and which study, the answer, remarks, how it was made, footer."""

from __future__ import annotations

from datetime import datetime

from pydicom.dataset import Dataset

from plugin.domain.findings import Algorithm, Classification, Findings, Severity
from plugin.domain.kinds import Modality
from plugin.results.common import SeriesLabel, read_text, source_identity
from plugin.results.identity import Identity
from plugin.results.pdf.page import (
    ACCENT,
    AMBER,
    BOTTOM,
    INK,
    LEFT,
    LINE,
    NOTICE,
    PALE,
    QUIET,
    RIGHT,
    TOP,
    WARNING,
    WIDTH,
    Area,
    Page,
)
from plugin.results.summary import Tone, headline, meaning, noted, rejected, sentence, where
from plugin.results.texts import Texts

_SEXES = {"M", "F", "O"}
_FOOTER = BOTTOM - 9
_PROVENANCE_ROW = 4.2
_TONES = {Tone.CALM: INK, Tone.NOTICE: NOTICE, Tone.ALERT: WARNING}
_HEADLINE_SIZES = (14.0, 12.0, 10.5)
_WORDS_SIZES = (8.5, 7.5, 6.5)
_REMARK_SIZE = 8.0
_ABOVE_WORDS, _BELOW_WORDS = 9.5, 5.0


def header(page: Page, source: Dataset, modality: str, label: SeriesLabel) -> float:
    """Patient on the left, study on the right, the warning below; returns y below."""
    texts, patient = label.texts, source_identity(source)
    page.put(LEFT, TOP, texts(f"pdf.title.{modality}"), size=9, bold=True, colour=ACCENT)
    page.put(LEFT, TOP, label.institution, size=9, colour=QUIET, align="R")
    _name(page, _person(str(patient.PatientName)) or texts("pdf.unnamed"))
    page.put(LEFT, TOP + 13.2, _about_patient(patient, texts), size=8.5, colour=QUIET, width=112)
    study = read_text(patient, "StudyDescription") or read_text(source, "SeriesDescription")
    when = " ".join(filter(None, (_day(patient.StudyDate), _clock(patient.StudyTime))))
    page.put(RIGHT - 68, TOP + 6, when or texts("pdf.undated"), size=10.5, width=68, align="R")
    accession = texts("pdf.accession", number=patient.AccessionNumber) if patient.AccessionNumber else ""
    shown = " · ".join(filter(None, (study, accession)))
    page.put(RIGHT - 68, TOP + 13.2, shown, size=8.5, colour=QUIET, width=68, align="R")
    y = TOP + 19.5
    page.box(LEFT, y, WIDTH, 6, AMBER)
    page.put(LEFT + 2, y + 1.2, texts("disclaimer"), size=8, bold=True, colour=WARNING, width=WIDTH - 4)
    return y + 9.5


def _name(page: Page, name: str) -> None:
    """The patient's name, the longer the smaller, at last in two lines."""
    for size in (15.0, 10.5):
        if page.fits(name, size=size, width=112):
            page.put(LEFT, TOP + 5.5 + (15 - size) * 0.25, name, size=size, bold=True, width=112)
            return
    page.paragraph(LEFT, TOP + 4.8, name, size=8.5, bold=True, width=112, lines=2)


def _about_patient(patient: Dataset, texts: Texts) -> str:
    parts = [texts("pdf.patient_id", number=patient.PatientID)] if patient.PatientID else []
    if patient.PatientBirthDate:
        parts.append(texts("pdf.born", day=_day(patient.PatientBirthDate)))
    if patient.PatientSex in _SEXES:
        parts.append(texts(f"pdf.sex.{patient.PatientSex}"))
    return " · ".join(parts)


def _person(name: str) -> str:
    """A DICOM person name as one reads it: "Family, Given Middle", the scripts one after the other."""
    groups = []
    for group in name.split("="):
        family, _, given = group.partition("^")
        rest = " ".join(given.replace("^", " ").split())
        groups.append(", ".join(part for part in (family.strip(), rest) if part))
    return "  ".join(group for group in groups if group)


def _day(value: str) -> str:
    text = str(value)
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 else text


def _clock(value: str) -> str:
    text = str(value)
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 else ""


def answer(page: Page, y: float, findings: Findings, texts: Texts) -> float:
    """The answer, then each classifier's certainty drawn against its operating point."""
    words, tone = headline(findings, texts)
    figure = 46.0 if findings.modality == Modality.CT and not rejected(findings) else 0.0
    width = WIDTH - figure - 4
    sizes = (s for s in _HEADLINE_SIZES if page.count_lines(words, size=s, width=width, bold=True) <= 2)
    size = next(sizes, _HEADLINE_SIZES[-1])
    top = 1.5 + page.paragraph(
        LEFT, y, words, size=size, bold=True, colour=_TONES[tone], width=width, tag="H1"
    )
    for classification in findings.classifications:
        top = _certainty(page, top, classification, WIDTH - figure, texts)
    if figure:
        _share_of_lung(page, Area(RIGHT - figure + 4, y, figure - 4, 20), findings, texts)
        top = max(top, y + 22)
    page.rule(top + 1)
    return top + 4


def _certainty(page: Page, y: float, classification: Classification, width: float, texts: Texts) -> float:
    """A bar from 0 to 100 % with the probability and, as a mark across it, the operating point."""
    finding = classification.finding
    label = where(classification, texts)
    page.put(LEFT, y + 0.4, label[:1].upper() + label[1:], size=8.5, width=34)
    page.put(LEFT, y + 4.2, _named(classification.algorithm), size=6.5, colour=QUIET, width=34)
    left, bar, height = LEFT + 36, width - 36 - 22, 4.6
    colour = WARNING if classification.positive else ACCENT
    page.box(left, y, bar, height, PALE)
    page.box(left, y, max(0.4, bar * finding.probability), height, colour)
    mark = left + bar * finding.threshold
    page.set_draw_color(*INK)
    page.set_line_width(0.5)
    page.line(mark, y - 0.9, mark, y + height + 0.9)
    words = texts("pdf.operating_point", value=texts.percent(100 * finding.threshold))
    page.put(mark - 30, y + height + 1.5, words, size=6.5, colour=QUIET, width=60, align="C")
    value = texts.percent(100 * finding.probability)
    page.put(left + bar + 2, y - 0.4, value, size=12, bold=True, colour=colour, width=20, align="R")
    below = y + height + 5.6
    if len(classification.classes) > 2:
        others = " · ".join(
            f"{meaning(c.meaning, texts)} {texts.percent(100 * c.probability)}" for c in classification.others
        )
        page.put(left, below, others, size=7.5, colour=QUIET, width=bar + 22)
        below += 4.5
    return below


def _share_of_lung(page: Page, area: Area, findings: Findings, texts: Texts) -> None:
    """The one figure of a CT: how much of the lungs is involved, or that no lungs were found."""
    x, y, width, height = area
    page.box(x, y, width, height, PALE)
    found = findings.lungs is not None
    figure = texts.percent(findings.lungs.percent, 1) if findings.lungs is not None else "–"
    page.put(x, y + 2.6, figure, size=20, bold=True, width=width, align="C")
    words = texts("pdf.share" if found else "pdf.no_lungs")
    page.put(x, y + 13.6, words, size=8, colour=QUIET, width=width, align="C")


def remarks(page: Page, y: float, limit: float, findings: Findings, texts: Texts) -> float:
    """What has to be said of the series, if anything; returns y below.

    Where it does not all fit above ``limit``, the last line says how many remarks are left out.
    """
    said = noted(findings)
    if not said:
        return y
    y = page.heading(LEFT, y, texts("pdf.remarks"))
    line = page.line_height(_REMARK_SIZE)
    for number, remark in enumerate(said):
        words = f"• {sentence(remark, texts)}"
        height = line * page.count_lines(words, size=_REMARK_SIZE, width=WIDTH)
        after = line if number + 1 < len(said) else 0.0
        if y + height + after > limit:
            words = texts("pdf.more_remarks", count=len(said) - number)
            return page.paragraph(LEFT, y, f"• {words}", size=_REMARK_SIZE) + 3
        colour = WARNING if remark.severity is Severity.REJECT else INK
        y = page.paragraph(LEFT, y, words, size=_REMARK_SIZE, colour=colour) + 0.6
    return y + 2.5


def words_height(page: Page, words: str) -> float:
    """The room in mm that :func:`in_words` wants for what it says."""
    if not words:
        return 0.0
    size = _WORDS_SIZES[0]
    lines = page.count_lines(words, size=size, width=WIDTH)
    return _ABOVE_WORDS + lines * page.line_height(size) + _BELOW_WORDS


def in_words(page: Page, y: float, limit: float, words: str, texts: Texts) -> None:
    """The answer in sentences between ``y`` and ``limit``: in smaller type where there is less room, and
    where even that is not enough, as much as fits, with an ellipsis."""
    if not words:
        return
    room = limit - y - _ABOVE_WORDS
    for size in _WORDS_SIZES:
        lines = page.count_lines(words, size=size, width=WIDTH)
        if lines * page.line_height(size) <= room:
            break
    page.heading(LEFT, y + _ABOVE_WORDS - 5.5, texts("pdf.in_words"))
    most = max(1, int(room / page.line_height(size)))
    page.paragraph(LEFT, y + _ABOVE_WORDS, words, size=size, lines=most)


def provenance_top(findings: Findings) -> float:
    """Where the block on how the report was made begins: what is above it has the room up to there."""
    return _FOOTER - 19.5 - _PROVENANCE_ROW * len(findings.algorithms)


def provenance(page: Page, findings: Findings, texts: Texts) -> None:
    """The models with their versions and files, and the limits, at the foot of the page."""
    y = page.heading(LEFT, provenance_top(findings), texts("pdf.how"))
    for algorithm in findings.algorithms:
        page.put(LEFT, y, algorithm.title, size=7.5, width=66)
        page.put(LEFT + 68, y, _named(algorithm), size=7.5, width=48)
        page.put(LEFT + 118, y, f"SHA-256 {algorithm.sha256[:16]}…", size=7.5, colour=QUIET, width=40)
        provider = algorithm.provider.removesuffix("ExecutionProvider")
        page.put(LEFT, y, provider, size=7.5, colour=QUIET, align="R")
        y += _PROVENANCE_ROW
    page.paragraph(LEFT, y + 1.2, texts("pdf.limits"), size=7.5, colour=QUIET, lines=3)


def footer(page: Page, source: Dataset, identity: Identity, label: SeriesLabel) -> None:
    """Series and software identifiers."""
    texts = label.texts
    page.rule(_FOOTER, colour=LINE)
    made = texts(
        "pdf.made",
        software=f"{label.model_name} {label.software_version}",
        when=_minute(identity.created),
    )
    page.put(LEFT, _FOOTER + 1.5, made, size=7, colour=QUIET)
    page.put(LEFT, _FOOTER + 1.5, texts("pdf.page"), size=7, colour=QUIET, align="R")
    series = texts("pdf.series", uid=source.SeriesInstanceUID)
    page.put(LEFT, _FOOTER + 5, series, size=7, colour=QUIET)


def _named(algorithm: Algorithm) -> str:
    return f"{algorithm.name} {algorithm.version}"


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")
