"""``python -m export train|evaluate|onnx|precision <model> ...``: train, measure and export networks.
``python -m export refit <model> ...`` learns the rejection of shipped X-ray networks anew.

``python -m export publish`` puts them into a channel for hospitals (see ``export.publish``).
``python -m export compare`` trains several networks of one task alike, for a table (see
``export.compare.command``).
``python -m export burst`` lets a GPU that is there for minutes do the volumetric trainings.
``python -m export corrections`` makes training cases of what physicians said of results (see
``export.corrections.collect``).
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path

from export import burst, publish
from export.compare import command as compare
from export.corrections import collect
from export.measured import log_figures, read_measured, table, write_measured
from export.models import Model, models, xray_refit
from export.paths import ONNX_MODELS, REPOSITORY
from export.studies import precision
from export.studies.precision_cases import has_study, study_of
from export.studies.precision_report import keep_report, read_reports
from export.studies.precision_report import table as precision_table
from plugin.models.cards import read_card
from plugin.models.joined import FILE as JOINED
from plugin.models.joined import read_joiners
from plugin.models.lineup import CT_VOLUME, ROLES, default_model

#: Files with tables between marks.
_TABLES = (REPOSITORY / "README.md", ONNX_MODELS / "figures.md")
_MARKS = re.compile(r"(<!-- ([a-z -]+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)
#: Commands with options of their own.
_OTHERS = {
    "publish": publish.main,
    "corrections": collect.main,
    "compare": compare.main,
    "burst": burst.main,
}
#: How many figures of a model, the first of its card, tell most of it.
_HEADLINES = 3


def evaluate(model: Model) -> None:
    """Measure a model, keep the figures, and write them into the card of its exported network."""
    measured = model.evaluate()
    write_measured(model.name, measured)
    log_figures(model.name, (*measured.figures, *measured.shortcut_checks))
    model.onnx(measured)


def write_tables(files: tuple[Path, ...] = _TABLES) -> None:
    """Fill in what stands between marks in files that exist.

    ``<!-- figures -->``: the first figures of the models that are read with where nothing else is set.
    ``<!-- xray classify -->`` and so on: all figures of the models of a modality and task.
    ``<!-- ct joined -->``: those of the joined statements of a CT.
    ``<!-- precision -->``: what float16 and int8 cost. Raises KeyError where a mark has no table.
    """
    cards = [read_card(path.parent) for path in sorted(ONNX_MODELS.glob("*/card.json"))]
    joined = [joiner.card for joiner in read_joiners(ONNX_MODELS)[0]]
    # A classifier of the segmented volume is not read unless it is named.
    defaults = {default_model(role, cards) for role in ROLES if role is not CT_VOLUME}
    tables = {
        "figures": table([*joined, *(card for card in cards if card.name in defaults)], most=_HEADLINES),
        "ct joined": table(joined),
        "precision": precision_table(read_reports()),
    }
    for role in ROLES:
        own = [card for card in cards if (card.modality, card.task) == (role.modality, role.task)]
        tables[f"{role.modality} {role.task}"] = table(own)
    for file in files:
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            filled = _MARKS.sub(lambda mark: mark[1] + tables[mark[2]] + mark[3], text)
            file.write_text(filled, encoding="utf-8")


def _ships(folder: Path) -> bool:
    return any((folder / file).is_file() for file in ("card.json", JOINED))


def main() -> None:
    """The command line. Exits with 2 where a model is unknown."""
    if sys.argv[1:2] and (other := _OTHERS.get(sys.argv[1])) is not None:
        other(sys.argv[2:])
        return
    known = models()
    parser = argparse.ArgumentParser(prog="./run export", description=__doc__)
    parser.add_argument("command", choices=("train", "evaluate", "onnx", "precision", "refit"))
    parser.add_argument("model", nargs="*", help=f"of: {', '.join(known)}")
    parser.add_argument("--all", action="store_true", help="every model that has a card")
    arguments = parser.parse_args()
    if arguments.command == "refit":
        known = {name: model for name, model in known.items() if name in xray_refit.NAMES}
    shipped = [name for name in known if _ships(ONNX_MODELS / name)]
    names: list[str] = shipped if arguments.all else arguments.model
    if arguments.all and arguments.command == "precision":
        names = [name for name in names if has_study(known[name])]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        parser.error(f"unknown or no model {' '.join(unknown)}; known: {', '.join(known)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for name in names:
        if arguments.command == "train":
            known[name].train()
        elif arguments.command == "evaluate":
            evaluate(known[name])
        elif arguments.command == "precision":
            keep_report(precision.measure(study_of(known[name])))
        elif arguments.command == "refit":
            xray_refit.refit(name)
        else:
            known[name].onnx(read_measured(name))
    if arguments.command != "train":
        write_tables()


if __name__ == "__main__":
    main()
