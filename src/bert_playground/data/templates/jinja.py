"""A Jinja template of the user's own: one text per row, for what the vectorised templates cannot say."""

from collections.abc import Sequence

import jinja2
import polars as pl

from bert_playground.data.columns.dictionary_encoding import DictionaryColumn, dictionary_encode
from bert_playground.data.columns.kinds import clean
from bert_playground.data.columns.parsing import read_number
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.jinja_sandbox import BoundedEnvironment, render_bounded

ENVIRONMENT = BoundedEnvironment()


def check_jinja(source: str) -> None:
    """Compile a template.

    Raises:
        ValueError: it is no Jinja; says the line.
    """
    try:
        ENVIRONMENT.compile_bounded(source)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(
            f"the Jinja template is wrong in line {error.lineno}: {error.message}"
        ) from error
    except (RecursionError, MemoryError, ValueError, SyntaxError, jinja2.TemplateError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise ValueError(f"the Jinja template cannot be read: {reason}") from error


def render_jinja(frame: pl.DataFrame, features: Sequence[Feature], source: str) -> DictionaryColumn:
    """The text of each row, rendered once for rows that are alike.

    The template sees each column under its name where that is an identifier, and all of them in `row`: numbers as
    numbers, other cells as text, none where nothing is said.

    Raises:
        ValueError: the template names a column that is not there, or fails on a row.
    """
    numbers = {feature.column: feature for feature in features if feature.form == "number"}
    names = list(dict.fromkeys(feature.column for feature in features))
    rows = pl.DataFrame(
        [
            clean(frame[name])
            .to_frame()
            .select(read_number(pl.col(name), numbers[name].spelling) if name in numbers else name)
            .to_series()
            for name in names
        ]
    )
    coded = dictionary_encode(rows.to_struct("row"))
    template = ENVIRONMENT.compile_bounded(source)
    try:
        texts = [render_bounded(template, {**row, "row": row}) for row in coded.values.to_list()]
    except jinja2.UndefinedError as error:
        raise ValueError(
            f"the Jinja template: {error.message} (the columns are {', '.join(names)})"
        ) from error
    except Exception as error:  # whatever a filter or method of Python raises
        raise ValueError(
            f"the Jinja template fails on a row: {error or type(error).__name__}"
        ) from error
    return DictionaryColumn(
        pl.Series("row", [" ".join(text.split()) for text in texts]), coded.indices
    )
