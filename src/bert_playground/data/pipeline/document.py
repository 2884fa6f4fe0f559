"""check_pipeline: what pipeline.json has besides the text of a row, as a schema."""

from collections.abc import Mapping
from typing import Any

from bert_playground.data.augmentation.augmentation import Augmentation
from bert_playground.data.drift.profile import PROFILED
from bert_playground.data.targets.windows import Windows
from bert_playground.data.templates.row_text import PIPELINE
from bert_playground.documents import check, make_document, schema_of

WINDOW = ("value", "time_column", "lags", "horizon")
# What pipeline.json has besides the text; folders of earlier versions lack some of it.
OWN = make_document(
    "Pipeline",
    {
        "target": (str, ...),
        "id_column": (str | None, ...),
        "dropped": (list[str], ()),
        "metric": (str | None, None),
        "windows": (schema_of(Windows, needed=WINDOW) | None, None),
        "labels": (dict[str, Any], ...),
        "augmentation": (schema_of(Augmentation, nullable=False) | None, None),
    },
)


def check_pipeline(document: Mapping[str, Any]) -> None:
    """Refuse wrong types of what a pipeline has and a `RowText` lacks.

    Raises:
        ValueError: all of them, with their keys; that of a model without labels says so itself.
    """
    if "labels" in document:
        check(OWN, document, PIPELINE)
        check(PROFILED, document, PIPELINE)
