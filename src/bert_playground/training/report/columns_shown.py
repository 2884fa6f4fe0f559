"""show_columns: which columns drove the answers: each shuffled in turn, and gradient times input."""

import numpy as np

from bert_playground.lookup import count_of
from bert_playground.run_record import RunRecord
from bert_playground.training.report.answers import row_losses
from bert_playground.training.report.blocks import Block, Figure, Figures, Table, Text
from bert_playground.training.report.gradients import explain_rows
from bert_playground.training.report.scored import Scored
from bert_playground.training.report.shuffled import HOW, Effect, plan_shuffles, shuffle_columns
from bert_playground.training.report.svg import Bar, draw_bars

MOST_BARS = 15
GRADIENT_ROWS = 64


def show_columns(record: RunRecord, scored: Scored) -> list[Block]:
    """Two views of what drove the answers."""
    shares, num_explained = _share_gradients(scored)
    effects, looked_at = _shuffle(record, scored)
    figures, notes = [], []
    if effects:
        figures.append(_draw_effects(effects, scored.answers.loss_name))
        notes.append(f"{HOW.format(loss=scored.answers.loss_name)} Looked at: {looked_at}.")
    if shares:
        figures.append(_draw_shares(shares))
        others = len(scored.readers) - 1
        by = f", of the first of {others + 1} encoders" if others else ""
        notes.append(
            "Gradient times input: the gradient of the answer with respect to the embedding of each token, times that "
            "embedding, summed over the tokens of a column; the bar is its share of all columns, whatever the sign, in the "
            f"mean over {num_explained} rows{by}. It says what the answer hangs on, not whether that helps."
        )
    if not figures:
        return []
    return [Figures(tuple(figures)), Text(tuple(notes)), _tabulate(effects, shares)]


def _pick(rows: np.ndarray, most: int) -> np.ndarray:
    """So many of the rows, evenly."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))
    return np.asarray(rows[places])


def _share_gradients(scored: Scored) -> tuple[dict[str, float], int]:
    if not scored.readers:
        return {}, 0
    reader = scored.readers[0]
    rows = _pick(reader.rows, GRADIENT_ROWS)
    return explain_rows(reader.load(), scored.frame[rows]).by_column(), len(rows)


def _shuffle(record: RunRecord, scored: Scored) -> tuple[list[Effect], str]:
    """The effects, and which rows and columns were looked at."""
    if scored.again is None:
        return [], ""
    summary, columns = record.summary, _rank_columns(scored)
    num_trained = (summary.train_rows or scored.frame.height) * (summary.epochs or 1)
    plan = plan_shuffles(len(scored.unseen), len(columns), num_trained)
    rows = _pick(scored.unseen, plan.rows)
    labels = scored.answers.labels[rows]
    effects = shuffle_columns(
        scored.again,
        lambda scores: row_losses(scored.answers.task, labels, scores),
        scored.frame[rows],
        columns[: plan.columns],
    )
    said = f"{len(rows)} of {count_of(scored.frame.height, 'row')} that were not trained on"
    if plan.columns < len(columns):
        said += (
            f", and the {plan.columns} of {len(columns)} columns that tell most of the target alone"
        )
    return effects, said


def _rank_columns(scored: Scored) -> list[str]:
    """Those that are read, the most telling ones first; of free text, and of others that were not measured, all is expected."""
    told = {profile.column: profile.importance for profile in scored.pipeline.profiles}
    names = [name for name in scored.pipeline.columns if name in scored.frame.columns]
    return sorted(names, key=lambda name: -(1.0 if told.get(name) is None else told[name] or 0.0))


def _draw_effects(effects: list[Effect], loss: str) -> Figure:
    shown = effects[:MOST_BARS]
    bars = [Bar(each.column, each.growth, each.error, f"{each.growth:+.4f}") for each in shown]
    more = f" (the first {len(shown)} of {len(effects)})" if len(effects) > len(shown) else ""
    said = f"By how much the {loss} grows when a column is shuffled{more}"
    listed = ", ".join(f"{bar.name} {bar.shown}" for bar in bars)
    return Figure(draw_bars(f"{said}: {listed}.", bars), f"{said}.")


def _draw_shares(shares: dict[str, float]) -> Figure:
    shown = list(shares.items())[:MOST_BARS]
    bars = [Bar(name, share, 0.0, f"{share:.1%}") for name, share in shown]
    more = f" (the first {len(shown)} of {len(shares)})" if len(shares) > len(shown) else ""
    said = f"Share of gradient times input{more}"
    listed = ", ".join(f"{bar.name} {bar.shown}" for bar in bars)
    return Figure(draw_bars(f"{said}: {listed}.", bars, series=3), f"{said}.")


def _tabulate(effects: list[Effect], shares: dict[str, float]) -> Table:
    by_name = {effect.column: effect for effect in effects}
    names = list(dict.fromkeys((*by_name, *shares)))
    rows = tuple(
        (
            name,
            by_name[name].growth if name in by_name else None,
            by_name[name].error if name in by_name else None,
            shares.get(name),
        )
        for name in names
    )
    columns = ("column", "loss grows by", "± standard error", "share of gradient times input")
    return Table("All columns", columns, rows, is_folded=True)
