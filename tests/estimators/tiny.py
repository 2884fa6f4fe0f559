"""Small settings and a table that a small encoder learns."""

import numpy as np
import polars as pl

TINY = {"model": {"hidden_size": 32, "num_layers": 1, "num_heads": 2}}


def make_table(num_rows: int = 120, seed: int = 0) -> pl.DataFrame:
    """Two numbers, a word and a missing cell now and then; `label` is yes where their sum is positive."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, num_rows)).round(3)
    word = np.where(random.random(num_rows) < 0.5, "red", "blue")
    cells = [None if i % 17 == 0 else float(value) for i, value in enumerate(b)]
    label = np.where(a + b + (word == "red") > 0.5, "yes", "no")
    number = (3 * a + b + 10).round(3)
    return pl.DataFrame({"a": a, "b": cells, "word": word, "label": label, "number": number})
