"""bert data describe: inferred roles and column types of a table, missing values, target leakage."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table

Table = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="a table with the target: CSV, TSV, Parquet, JSON Lines, also packed; or a pattern",
        show_default=False,
    ),
]


@options.takes_settings("--target --id-column --task --class-order")
def describe(
    context: typer.Context,
    table: Table,
    json: options.Json = False,
) -> None:
    """Describe how a table would be read: column types, missing values, target leakage, example texts."""
    from bert_playground.data.describe import describe_table
    from bert_playground.data.prepare import choose_text_options
    from bert_playground.data.schema.columns_asked import resolve_columns
    from bert_playground.data.schema.decide import decide_if_possible
    from bert_playground.data.schema.roles import read_test_columns, read_test_table
    from bert_playground.data.schema.sampling import READ_ALL, read_within
    from bert_playground.logs import set_up_logs, tell_if_slow

    set_up_logs(None)
    asked = options.read_config(context)[0].data
    frame, message = read_within(table, seed=0, is_drawn=asked.streaming, hint=READ_ALL)
    asked = resolve_columns(asked, frame.columns)
    schema, fault = decide_if_possible(frame, asked, read_test_columns(table, frame.columns))
    text = replace(choose_text_options(asked), test_rows=read_test_table(table, frame.columns))
    with tell_if_slow(f"looking at {frame.width:,} columns of {frame.height:,} rows"):
        facts = describe_table(frame, schema, text, fault=fault)
    if json:
        print_json({**asdict(facts), "read": message})
        return
    print_table(
        f"{table}: {facts.num_rows} rows, {len(facts.columns)} columns",
        ("column", "role", "kind", "missing", "distinct", "values"),
        [
            (
                _shorten(fact.name),
                fact.role,
                fact.kind,
                _percent(fact.missing),
                fact.distinct,
                fact.values,
            )
            for fact in facts.columns
        ],
    )
    drawn = [f"looked at: {message}"] if message.endswith(READ_ALL) else []
    print_lines(["", *drawn, *facts.statements])
    if facts.warnings:
        print_lines(["", "Look at:", *(f"- {warning}" for warning in facts.warnings)])
    shown = (text if len(text) <= 300 else f"{text[:300]}…" for text in facts.examples)
    print_lines(["", "The first rows as text:", *(f"- {' '.join(text.split())}" for text in shown)])


def _shorten(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share else ""
