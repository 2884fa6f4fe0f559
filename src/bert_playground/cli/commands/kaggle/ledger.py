"""bert kaggle ledger: what was sent, out-of-fold against leaderboard scores, and how far to trust the next gain."""

from dataclasses import asdict
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import (
    LedgerFile,
    Name,
    choose_competition,
    connect,
    take_scores,
)
from bert_playground.cli.utils.console import print_json, print_lines, print_table, spell

if TYPE_CHECKING:
    from bert_playground.training.kaggle.ledger import LedgerRow

Update = Annotated[
    bool, typer.Option("--update", help="ask Kaggle for the scores first", show_default=False)
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="PNG to draw (default ledger.png)", show_default=False
    ),
]


def ledger(
    name: Name = None,
    ledger: LedgerFile = Path("ledger.sqlite"),
    update: Update = False,
    plot: Plot = None,
    json: options.Json = False,
) -> None:
    """Show what was sent, draw out-of-fold against public scores, and say how far the next gain can be trusted."""
    from bert_playground.training.kaggle.draw_ledger import draw_ledger
    from bert_playground.training.kaggle.ledger import open_ledger
    from bert_playground.training.kaggle.trust import FEWEST, measure_trust

    slug = choose_competition(name)
    if not ledger.is_file():
        raise FileNotFoundError(
            f"no ledger {ledger}; `bert kaggle submit` begins one, in the folder where it is typed"
        )
    if update:
        take_scores(ledger, slug, connect())
    with open_ledger(ledger) as opened:
        rows = opened.rows(slug)
    trust = measure_trust(rows)
    picture = None
    if len(trust.pairs) >= FEWEST or (plot is not None and trust.pairs):
        picture = plot or ledger.with_suffix(".png")
        metric = next((row.metric for row in reversed(rows) if row.metric), None) or "score"
        draw_ledger(trust.pairs, picture, title=f"{slug}: public score", metric=metric)
    if json:
        print_json({"rows": [asdict(row) for row in rows], **asdict(trust), "picture": picture})
        return
    print_table(*_make_table(slug, rows))
    print_lines([trust.sentence, *([f"drawn: {picture}"] if picture else [])])


def _make_table(
    slug: str, rows: "list[LedgerRow]"
) -> tuple[str, tuple[str, ...], list[tuple[object, ...]]]:
    """Title, columns and rows; what is the same in all rows, or in none, takes no column."""
    metrics = {row.metric for row in rows if row.metric}
    same = f", {metrics.pop()}" if len(metrics) == 1 else ""
    has_private = any(row.private_score is not None for row in rows)
    optional = {"metric": not same, "private": has_private}
    names = ("no", "date", "run", "metric", "out of fold", "public", "private", "state")
    shown = [optional.get(name, True) for name in names]
    cells = [tuple(compress(_spell_row(row), shown)) for row in rows]
    return f"{slug}{same}", tuple(compress(names, shown)), cells


def _spell_row(row: "LedgerRow") -> tuple[object, ...]:
    score = "" if row.score is None else spell(row.score)
    if score and row.error is not None:
        score += f" ± {row.error:.2g}"
    state = row.status if row.state == "sent" and row.status else row.state
    return (
        row.number, row.began[:10], row.run or row.file, row.metric, score, row.public_score, row.private_score, state,
    )  # fmt: skip
