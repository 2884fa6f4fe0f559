"""render_page: sections as one HTML file that loads nothing."""

import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from bert_playground.jinja_templates import open_templates
from bert_playground.training.report.blocks import Cell, Section, spell_number

TEMPLATE, STYLE = "report.html.jinja", "report.css"
FOLDER = Path(__file__).parent
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # not allowed in HTML


def render_page(
    *, title: str, sentence: str, made: str, sections: Sequence[Section], faults: Sequence[str]
) -> str:
    """The page.

    Args:
        title: what was trained.
        sentence: the run in short.
        made: which run, by which version, when.
        sections: in their order.
        faults: what could not be shown, and why.
    """
    environment = open_templates(FOLDER, autoescape=True)
    environment.filters.update(number=show_number)
    html = environment.get_template(TEMPLATE).render(
        title=title,
        sentence=sentence,
        made=made,
        sections=sections,
        faults=faults,
        style=Markup((FOLDER / STYLE).read_text(encoding="utf-8")),
    )
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", html)


def show_number(value: Cell) -> Markup:
    """A cell: a number in few digits, with all of them for programs; nothing for None."""
    if value is None:
        return Markup('<span class="nothing" aria-label="none">\N{EN DASH}</span>')
    if isinstance(value, str | bool):
        return escape(str(value))
    return Markup('<data value="{}">{}</data>').format(repr(value), spell_number(value))
