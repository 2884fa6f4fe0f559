"""reword: the same cells in the words of another template."""

from dataclasses import replace

from bert_playground.data.templates.templates import TEMPLATES, Template
from bert_playground.lookup import look_up


def reword(own: Template, name: str) -> Template:
    """Another template for the same cells, with the derived columns, numbers and units of a run's own.

    Args:
        own: of the run.
        name: in TEMPLATES.

    Raises:
        ValueError: no such template.
    """
    other = look_up(TEMPLATES, name, "template")
    units = {**other.units, **own.units}
    return replace(other, derive=own.derive, numbers=own.numbers, units=units)
