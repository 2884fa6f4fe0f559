"""The distinct cells of a column and their numbers, by Polars or, of few rows, by a dict."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_series_equal

from bert_playground.data.columns import dictionary_encoding
from bert_playground.data.columns.dictionary_encoding import dictionary_encode


@given(st.lists(st.none() | st.text(max_size=2), max_size=30))
def test_few_rows_are_numbered_as_many_are(cells: list[str | None]) -> None:
    column = pl.Series("name", cells, dtype=pl.String)
    few = dictionary_encode(column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dictionary_encoding, "FEW_ROWS", 0)
        many = dictionary_encode(column)
    assert_series_equal(few.values, many.values)
    np.testing.assert_array_equal(few.indices, many.indices)
    assert few.indices.dtype == many.indices.dtype
    assert_series_equal(few.rows(), column)
