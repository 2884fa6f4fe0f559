"""ROW_TEXT: what pipeline.json has of how a row becomes tokens, as a schema."""

from typing import Annotated

from pydantic import Field

from bert_playground.data.columns.derived_columns import DerivedColumn
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.numeric_features import NumericColumn
from bert_playground.data.templates.templates import Template
from bert_playground.documents import list_of, make_document, schema_of

LONGEST = 2**17  # tokens of a row; no encoder has more positions
NEEDED_OF_FEATURE = ("column", "label", "form", "known", "edges")
NEEDED_OF_NUMBERS = ("column", "form", "values", "shares")
# What pipeline.json has of this; see `RowText.to_dict`. Folders of earlier versions lack some of it.
ROW_TEXT = make_document(
    "RowText",
    {
        "format": (int, ...),
        "template": (str, ...),
        "form": (schema_of(Template, nullable=False), None),
        "max_length": (Annotated[int, Field(ge=1, le=LONGEST)], ...),
        "tokenizer_name": (str, ...),
        "statements": (list[str], ...),
        "features": (
            Annotated[
                list_of(schema_of(Feature, needed=NEEDED_OF_FEATURE, nullable=False)),
                Field(min_length=1),
            ],
            ...,
        ),
        "derived": (
            list_of(schema_of(DerivedColumn, needed=("name", "sources", "kind"), nullable=False))
            | None,
            None,
        ),
        "numbers": (
            list_of(schema_of(NumericColumn, needed=NEEDED_OF_NUMBERS, nullable=False)) | None,
            None,
        ),
        "number_tokens": (list[tuple[int, int]] | None, None),
    },
)
