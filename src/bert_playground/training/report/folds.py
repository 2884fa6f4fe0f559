"""show_folds: each member and the blend on each fold, and what each member adds; show_members: those of an ensemble."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_playground.blending.objective import Objective
from bert_playground.run_record import DISAGREEMENTS, RunRecord
from bert_playground.training.objectives import make_objective
from bert_playground.training.report.answers import Answers
from bert_playground.training.report.blocks import Block, Cell, Figure, Figures, Notes, Table
from bert_playground.training.report.oof import FoldAnswers
from bert_playground.training.report.svg import Bar, draw_bars

Array = np.ndarray[Any, Any]
BLEND = "blend"


def show_folds(
    record: RunRecord, folds: FoldAnswers | None, answers: Answers | None
) -> list[Block]:
    """What the folds say of members and blend."""
    blend = record.summary.blend
    members: Sequence[dict[str, Any]] = blend.get("members", ())
    if not members:
        return []
    metric = str(blend.get("metric"))
    blocks: list[Block] = [_tabulate_members(metric, blend, members)]
    added = [member for member in members if member.get("adds")]
    if added:
        blocks.append(_draw_added(metric, added))
    if folds is not None and answers is not None:
        objective = make_objective(answers.task, metric, answers.in_units)
        blocks.append(_tabulate_folds(objective, folds, answers, blend))
    return [*blocks, Notes(tuple(map(str, blend.get("sentences", ()))))]


def _tabulate_members(
    metric: str, blend: dict[str, Any], members: Sequence[dict[str, Any]]
) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            str(member["name"]),
            member.get("weight"),
            member.get("score"),
            member.get("standard_error"),
            *(member.get("adds") or (None, None)),
        )
        for member in members
    ]
    rows.append((BLEND, None, blend.get("score"), blend.get("standard_error"), None, None))
    columns = (
        "model",
        "weight",
        metric,
        "± standard error",
        "adds to the blend",
        "± standard error",
    )
    return Table("Members and blend, out of fold", columns, tuple(rows))


def _draw_added(metric: str, members: Sequence[dict[str, Any]]) -> Figures:
    bars = [
        Bar(str(each["name"]), each["adds"][0], each["adds"][1] or 0.0, f"{each['adds'][0]:+.4f}")
        for each in members
    ]
    said = f"What each member adds to the blend, in {metric}; to the right is better"
    listed = ", ".join(f"{bar.name} {bar.shown}" for bar in bars)
    return Figures(
        (Figure(draw_bars(f"{said}: {listed}.", bars), f"{said}; lines are standard errors, paired over folds."),)
    )  # fmt: skip


def _tabulate_folds(
    objective: Objective, folds: FoldAnswers, answers: Answers, blend: dict[str, Any]
) -> Table:
    sign = 1.0 if objective.higher_is_better else -1.0
    told = blend.get("fold_scores") or {}
    rows: list[tuple[Cell, ...]] = []
    for number in np.unique(folds.folds).tolist():
        inside = folds.folds == number
        scores = [
            sign * objective.judge(folds.labels[inside], each[inside])
            for each in folds.members.values()
        ]
        rows.append((f"fold {number}", int(inside.sum()), *scores, told.get(str(number))))
    columns = ("fold", "rows", *folds.members, BLEND)
    return Table(f"{objective.name} in each fold", columns, tuple(rows))


def show_members(record: RunRecord) -> list[Block]:
    """Each member of an ensemble beside all together, and how much they disagree."""
    members = record.summary.members
    if not members:
        return []
    metrics = record.summary.metrics
    rows: list[tuple[Cell, ...]] = [
        (member.what, *(member.metrics.get(name) for name in metrics), member.seconds)
        for member in members
    ]
    rows.append(("all together", *metrics.values(), record.summary.seconds))
    columns = ("model", *(name.removeprefix("val_") for name in metrics), "seconds")
    blocks: list[Block] = [Table("Members, and all together", columns, tuple(rows))]
    notes = [
        DISAGREEMENTS[name].format(value)
        for name, value in record.summary.disagreement.items()
        if name in DISAGREEMENTS and value is not None
    ]
    return [*blocks, Notes(tuple(notes))] if notes else blocks
