"""Which proposed columns training rows support."""

from collections.abc import Sequence

import numpy as np
import pytest

from bert_playground.data.schema.derived_gain import find_gains

NUM_ROWS = 900


def make(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    return chance.normal(size=(NUM_ROWS, 4)), chance.normal(size=NUM_ROWS)


def find(
    base: np.ndarray,
    proposed: np.ndarray,
    labels: np.ndarray,
    task: str,
    unseen: Sequence[float | None] | None = None,
) -> list[int]:
    unseen = [None] * proposed.shape[1] if unseen is None else unseen
    return find_gains(base, np.zeros(base.shape[1], dtype=bool), proposed, unseen, labels, task)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "ordinal", "multilabel"])
def test_a_column_that_tells_more_than_all_others_is_kept_and_noise_is_not(task: str) -> None:
    base, noise = make()
    hidden = np.random.default_rng(1).normal(size=NUM_ROWS)
    score = base[:, 0] + 1.5 * hidden
    labels = {
        "binary": score > 0,
        "multiclass": np.digitize(score, [-1, 1]),
        "ordinal": np.digitize(score, [-1, 1]),
        "multilabel": np.stack([score > 0, score > 1], axis=1),
    }.get(task, score)
    labels = labels.astype(np.float64 if task == "regression" else np.int64)
    assert find(base, np.stack([noise, hidden], axis=1), labels, task) == [1]


def test_what_the_base_columns_tell_already_is_not_kept() -> None:
    base, noise = make()
    labels = (base[:, 0] + noise > 0).astype(np.int64)
    noise = np.random.default_rng(5).normal(size=NUM_ROWS)
    assert find(base, np.stack([base[:, 0], noise], axis=1), labels, "binary") == []


@pytest.mark.medium
def test_noise_is_rarely_kept() -> None:
    kept = 0
    for seed in range(5):
        base, _ = make(seed)
        proposed = np.random.default_rng(100 + seed).normal(size=(NUM_ROWS, 10))
        labels = (base[:, 0] + np.random.default_rng(seed).normal(size=NUM_ROWS) > 0).astype(int)
        kept += len(find(base, proposed, labels, "binary"))
    assert kept <= 1


def test_a_size_that_misleads_where_no_group_is_known_is_not_kept() -> None:
    base, _ = make()
    size = np.random.default_rng(3).integers(1, 4, NUM_ROWS).astype(np.float64)
    labels = (size + np.random.default_rng(4).normal(size=NUM_ROWS) > 2).astype(np.int64)
    assert find(base, size[:, None], labels, "binary") == [0]
    assert find(base, size[:, None], labels, "binary", unseen=[1.0]) == []


def test_few_rows_say_nothing() -> None:
    base, noise = make()
    assert find(base[:50], noise[:50, None], np.arange(50) % 2, "binary") == []
