"""fit_pipeline, describe_frame: what `prepare` and `bert data describe` do for files, for a frame in one call."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from bert_playground.config.schema import DataSection
from bert_playground.data.describe import TableFacts, describe_table
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import choose_text_options
from bert_playground.data.reading.table import as_text
from bert_playground.data.schema.decide import decide


def fit_pipeline(
    frame: pl.DataFrame,
    request: DataSection,
    *,
    test_columns: Sequence[str] | None = None,
    **options: Any,
) -> TextPipeline:
    """Decide what the frame is and fit on all of its rows; `options` are those of `TextPipeline.fit`."""
    frame = as_text(frame)
    schema = decide(frame, request, test_columns)
    return TextPipeline.fit(frame, schema, choose_text_options(request, schema.template), **options)


def describe_frame(
    frame: pl.DataFrame, test_columns: Sequence[str] | None = None, **request: Any
) -> TableFacts:
    """Decide what the frame is and describe it; `request` are fields of DataSection."""
    asked = DataSection(**request)
    return describe_table(frame, decide(frame, asked, test_columns), choose_text_options(asked))
