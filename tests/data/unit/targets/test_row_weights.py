"""Weights of rows as a table has them: scaled to a mean of 1, and refused where they are none."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.targets.row_weights import read_row_weights


def test_weights_have_a_mean_of_one():
    frame = pl.DataFrame({"w": ["1", "3", "0", "4"]})
    np.testing.assert_allclose(read_row_weights(frame, "w"), [0.5, 1.5, 0, 2])
    assert read_row_weights(frame, None) is None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "-2"], "'-2'"),
        (["1", "inf"], "'inf'"),
        (["1", "much"], "'much'"),
        (["1", None], "None"),
        (["0", "0"], "0 in every row"),
    ],
)
def test_what_is_no_weight_is_named(cells, message):
    with pytest.raises(ValueError, match=message):
        read_row_weights(pl.DataFrame({"w": cells}), "w")


def test_a_column_that_is_absent_is_named():
    with pytest.raises(ValueError, match="did you mean 'weight'"):
        read_row_weights(pl.DataFrame({"weight": ["1"]}), "weigth")
