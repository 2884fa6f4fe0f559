"""Masks: which keys a query sees."""

import mlx.core as mx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.models.bert.layers.attention import visible_keys
from bert_playground.models.bert.layers.embeddings import rotary_table


@given(
    mask=st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=3),
    half_window=st.none() | st.integers(0, 8),
)
def test_a_real_query_sees_the_real_keys_in_its_window(
    mask: list[list[bool]], half_window: int | None
) -> None:
    visible = visible_keys(mx.array(mask), 7, half_window)
    assert visible is not None
    shown = np.broadcast_to(np.array(visible), (len(mask), 1, 7, 7))[:, 0]
    for row, real in enumerate(mask):
        for query in range(7):
            assert shown[row, query].any(), "no key at all would make the softmax NaN"
            if not real[query]:
                continue
            for key in range(7):
                near = half_window is None or abs(query - key) <= half_window
                assert shown[row, query, key] == (real[key] and near)


def test_without_padding_and_window_there_is_no_mask() -> None:
    assert visible_keys(None, 10) is None
    assert visible_keys(None, 10, half_window=9) is None
    window = visible_keys(None, 11, half_window=9)
    assert window is not None
    assert window.shape == (1, 1, 11, 11)
    assert int((~window).sum()) == 2


def test_rotary_angles_are_position_times_frequency() -> None:
    table = rotary_table(10000.0, 8, 5)
    assert table.cosines.shape == (5, 4)
    angles = np.arange(5)[:, None] / 10000.0 ** (np.arange(0, 8, 2) / 8)
    assert np.allclose(np.array(table.cosines), np.cos(angles), atol=1e-6)
    assert np.allclose(np.array(table.sines), np.sin(angles), atol=1e-6)
    assert rotary_table(10000.0, 8, 5) is table
