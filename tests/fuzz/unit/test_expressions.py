"""Jinja and SQL of random pieces: refused by one ValueError, or computed within bounds."""

import random
import time
from collections.abc import Iterable, Iterator
from functools import partial

import polars as pl
import pytest

from bert_playground.data.templates.derive import derive_columns
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.jinja import check_jinja, render_jinja
from bert_playground.data.templates.sql_expression import MAX_CELL
from bert_playground.data.templates.templates import Template
from tests.fuzz.attempts import attempt
from tests.fuzz.jinja_grammar import make_jinja
from tests.fuzz.sql_grammar import make_sql

SECONDS = 5.0
ROWS = pl.DataFrame(
    {
        "a": ["x", "1", "2020-01-31", "é", None, "", "10:30", "many words here"] * 10,
        "b": ["3", "-2", "0", "7.5", "1e400", "nan", None, "12"] * 10,
        "n": ["1", "2", "3", "4", "-5", "600", "7", "0"] * 10,
        "d": ["2020-01-31", "1999-12-01"] * 40,
    }
)
COLUMNS = (*ROWS.columns, "CAST(n AS INT)", "CAST(b AS FLOAT)", "CAST(d AS DATE)")
FEATURES = [Feature("a", "a", "number"), Feature("b", "b", "text")]


def run_templates(chosen: Iterable[int]) -> int:
    """Templates on a row; how many were rendered."""
    row, rendered = pl.DataFrame({"a": ["1"], "b": ["some words"]}), 0
    for seed in chosen:
        source = make_jinja(random.Random(seed), 1 + seed % 4)
        began = time.process_time()
        _, reason = attempt(partial(check_jinja, source))
        if reason is None:
            column, reason = attempt(partial(render_jinja, row, FEATURES, source))
            assert reason or len(column.values) == 1, (seed, source)
            rendered += reason is None
        assert time.process_time() - began < SECONDS, (seed, source)
    return rendered


def run_expressions(chosen: Iterable[int]) -> int:
    """Derived columns; how many were computed."""
    computed = 0
    for seed in chosen:
        sql = make_sql(random.Random(seed), COLUMNS, 1 + seed % 4)
        began = time.process_time()
        try:
            found, reason = attempt(partial(derive_columns, ROWS, Template(derive={"c": sql})))
        except BaseException as error:  # polars panics by one
            raise AssertionError((seed, sql)) from error
        assert reason or (found["c"].str.len_chars().max() or 0) <= MAX_CELL, (seed, sql)
        assert time.process_time() - began < SECONDS, (seed, sql)
        computed += reason is None
    return computed


def test_templates_of_random_pieces_end_in_time() -> None:
    assert run_templates(range(100)) > 5


@pytest.mark.slow
def test_many_templates_of_random_pieces_end_in_time(long_seeds: Iterator[int]) -> None:
    run_templates(long_seeds)


def test_expressions_of_random_pieces_are_computed_or_refused() -> None:
    assert run_expressions(range(300)) > 40


@pytest.mark.slow
def test_many_expressions_of_random_pieces_are_computed_or_refused(
    long_seeds: Iterator[int],
) -> None:
    run_expressions(long_seeds)
