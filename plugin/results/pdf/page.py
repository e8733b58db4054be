"""One A4 page and how things are set on it: fonts, colours, lines, bars, pictures, header and footer.

Knows nothing of findings. Lengths are in mm, sizes of type in points, colours are sRGB triples.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from fpdf import FPDF
from fpdf.fonts import TTFFont

from plugin.results.pictures import Grey, Rgb, jpeg

Colour = tuple[int, int, int]

INK: Colour = (28, 33, 40)
QUIET: Colour = (95, 103, 112)
LINE: Colour = (205, 210, 216)
PALE: Colour = (240, 242, 245)
ACCENT: Colour = (29, 78, 128)
WARNING: Colour = (176, 58, 18)
NOTICE: Colour = (138, 92, 0)
AMBER: Colour = (255, 243, 214)

LEFT, RIGHT, TOP, BOTTOM = 14.0, 196.0, 12.0, 285.0
WIDTH = RIGHT - LEFT

_FONTS = Path(__file__).parent.with_name("fonts")
_FALLBACKS = (
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"),
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    Path("/usr/share/fonts/truetype/freefont/FreeSerif.ttf"),
)
"""Fonts of the system for scripts that Noto Sans lacks; the first that exist are used where needed."""

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""What is seen in place of a letter that no font has."""


class Area(NamedTuple):
    """A rectangle of the page in mm."""

    x: float
    y: float
    width: float
    height: float = 0.0


class Page(FPDF):  # type: ignore[misc]  # fpdf2 has no types that mypy reads
    """An A4 page that never breaks: what is set is set at a place, and text is fitted to its width.

    Tagged (ISO 32000-1 Section 14.8): all text is in the structure as headings and paragraphs, in the
    order in which it is set; pictures are figures with an alternative text.
    """

    def __init__(self, *, title: str, subject: str, author: str, language: str) -> None:
        super().__init__(format="A4", unit="mm")
        self.set_auto_page_break(False)
        self.c_margin = 0  # text starts where its box does
        self.add_font("noto", "", _FONTS / "NotoSans-Regular.ttf")
        self.add_font("noto", "B", _FONTS / "NotoSans-Bold.ttf")
        self._fallback_loaded = False
        self.set_title(title)
        self.set_subject(subject)
        self.set_author(author)
        self.set_creator(author)
        self.set_lang(language)
        self.add_page()

    def finished(self, created: datetime) -> bytes:
        """The PDF's bytes, dated ``created`` (and so the same for the same content)."""
        self.set_creation_date(created if created.tzinfo else created.replace(tzinfo=UTC))
        return bytes(self.output())

    def put(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 9,
        bold: bool = False,
        colour: Colour = INK,
        width: float = WIDTH,
        align: str = "L",
        tag: str = "P",
    ) -> None:
        """One line of text whose box starts at (x, y); what does not fit ``width`` ends in an ellipsis.

        ``tag``: what it is in the document's structure: P, H1, H2 (ISO 32000-1 Section 14.8.4.3).
        """
        if not text:
            return
        text = self._style(size, bold, colour, text)
        shown = self._fitted(text, width)
        self.set_xy(x, y)
        with self._tagged(tag):
            self.cell(width, size * 0.45, shown, align=align)

    def paragraph(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 8.5,
        colour: Colour = INK,
        width: float = WIDTH,
        lines: int = 40,
        bold: bool = False,
        tag: str = "P",
    ) -> float:
        """Text in as many lines as it needs, at most ``lines``, where an ellipsis says that there was more;
        returns y below the last one."""
        text = self._style(size, bold, colour, text)
        broken = self._broken(text, width)
        if len(broken) > lines:
            broken = [*broken[: lines - 1], self._fitted(" ".join(broken[lines - 1 :]), width)]
        height = self.line_height(size)
        with self._tagged(tag):
            for number, line in enumerate(broken):
                self.set_xy(x, y + number * height)
                # The space parts a line's last word from the next line's first, for who reads the text alone.
                self.cell(width, height, line if number + 1 == len(broken) else f"{line} ", align="L")
        return y + len(broken) * height

    @staticmethod
    def line_height(size: float) -> float:
        """Height of a line of a paragraph in mm."""
        return size * 0.48

    def count_lines(self, text: str, *, size: float, width: float, bold: bool = False) -> int:
        """How many lines a paragraph would take."""
        text = self._style(size, bold, INK, text)
        return len(self._broken(text, width))

    def fits(self, text: str, *, size: float, width: float) -> bool:
        """Whether a bold line of text fits the width."""
        text = self._style(size, True, INK, text)
        return bool(self.get_string_width(text) <= width)

    def rule(self, y: float, x: float = LEFT, to: float = RIGHT, colour: Colour = LINE) -> None:
        """A thin horizontal line."""
        self.set_draw_color(*colour)
        self.set_line_width(0.2)
        self.line(x, y, to, y)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """A filled rectangle."""
        self.set_fill_color(*colour)
        self.rect(x, y, width, height, style="F")

    def heading(self, x: float, y: float, text: str, width: float = WIDTH) -> float:
        """A small heading; returns y below it."""
        self.put(x, y, text, size=8.5, bold=True, colour=ACCENT, width=width, tag="H2")
        return y + 5.5

    def picture(self, area: Area, pixels: Rgb | Grey, words: str) -> None:
        """A picture that fills the rectangle; ``words`` say what it shows to who cannot see it."""
        self.image(io.BytesIO(jpeg(pixels)), x=area.x, y=area.y, w=area.width, h=area.height, alt_text=words)

    @contextmanager
    def _tagged(self, tag: str) -> Iterator[None]:
        """What is set meanwhile is one element of the structure; fpdf2 itself knows figures alone."""
        with self._marked_sequence() as element:
            element.s = f"/{tag}"
            yield

    def _style(self, size: float, bold: bool, colour: Colour, text: str) -> str:
        """Font and colour for a text; returns it as it can be shown.

        Scripts beyond Noto Sans are shaped: letters joined, stacked, and from right to left.
        """
        foreign = not all(_shows(self.fonts["noto"], letter) for letter in text)
        if foreign and not self._fallback_loaded:
            self._load_fallback()
        if foreign:
            fonts = self.fonts.values()
            text = "".join(c if any(_shows(font, c) for font in fonts) else _UNKNOWN for c in text)
        self.set_text_shaping(foreign)
        self.set_font("noto", "B" if bold else "", size)
        self.set_text_color(*colour)
        return text

    def _broken(self, text: str, width: float) -> list[str]:
        lines: list[str] = self.multi_cell(width, 1, text, align="L", dry_run=True, output="LINES")
        return lines

    def _load_fallback(self) -> None:
        """Load the system's fonts for other scripts, once and only where a text needs one."""
        present = [path for path in _FALLBACKS if path.exists()]
        for path in present:
            self.add_font(path.stem, "", path)
        self.set_fallback_fonts([path.stem for path in present], exact_match=False)
        self._fallback_loaded = True

    def _fitted(self, text: str, width: float) -> str:
        """The text, or as much of its beginning as fits with an ellipsis."""
        if self.get_string_width(text) <= width:
            return text
        while text and self.get_string_width(f"{text}…") > width:
            text = text[:-1]
        return f"{text.rstrip()}…"


def _shows(font: TTFFont, letter: str) -> bool:
    """Whether a font has a letter, or needs none: spaces, joiners and marks of direction."""
    return ord(letter) in font.cmap or letter.isspace() or unicodedata.category(letter) == "Cf"
