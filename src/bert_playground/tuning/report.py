"""report_study: report.html of a study: verdict, history, importances, parallel coordinates, trials, commands."""

from collections.abc import Mapping
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

import bert_playground
from bert_playground.files import write_text
from bert_playground.logger import logger
from bert_playground.runs import RunDir
from bert_playground.training.report.blocks import (
    Block,
    Commands,
    Figures,
    Notes,
    Section,
    Table,
    Text,
)
from bert_playground.training.report.page import render_page
from bert_playground.tuning.pictures import draw_history, draw_importances, draw_parallel
from bert_playground.tuning.space import list_dimensions

if TYPE_CHECKING:
    from bert_playground.tuning.search import Search

Summary = Mapping[str, Any]


def report_study(run: RunDir, search: "Search", summary: Summary) -> bool:
    """Write the page; what goes wrong is said, and costs nobody the study.

    Args:
        run: of the study.
        search: that has ended.
        summary: what summary.json holds.

    Returns:
        Whether there is a page.
    """
    try:
        verdict, best = summary["verdict"], summary["best"]
        html = render_page(
            title=f"Tuning {summary['target']}: {search.runner.metric}",
            sentence=f"{best['says']} {verdict['says']}",
            made=f"{run.path.name}, bert-playground {bert_playground.__version__}, {datetime.now():%Y-%m-%d %H:%M}",
            sections=make_sections(search, summary),
            faults=(),
        )
        write_text(run.report_path, html)
    except Exception as error:
        logger.warning(
            f"no report was written ({type(error).__name__}: {error}); the study is whole"
        )
        return False
    return True


def make_sections(search: "Search", summary: Summary) -> list[Section]:
    """What the page shows."""
    return [
        Section("verdict", "Does it beat the defaults?", tuple(_show_verdict(summary))),
        *_show_race(summary, search.runner.metric),
        Section("trials", "Trials", tuple(_show_trials(search, summary))),
        Section("settings", "Best settings", tuple(_show_best(search, summary))),
        Section("next", "What next", (_list_commands(summary),)),
    ]


def _show_verdict(summary: Summary) -> list[Block]:
    verdict = summary["verdict"]
    blocks: list[Block] = [Text((verdict["says"],))]
    if verdict["gain"] is not None:
        rows = tuple(
            (name, value, verdict["defaults"].get(name)) for name, value in verdict["tuned"].items()
        )
        caption = f"Means over {len(verdict['seeds'])} fresh seeds on {verdict['rows']} rows that no trial has seen"
        blocks.append(Table(caption, ("metric", "tuned", "defaults"), rows))
    blocks.append(
        Notes(
            (
                "The score that chose a trial is the best of many, and partly luck; the table above is not chosen by itself.",
            )
        )
    )
    return blocks


def _show_race(summary: Summary, metric: str) -> list[Section]:
    race = summary["race"]
    if race is None:
        return []
    chose = {each["trial"]: each["value"] for each in summary["trials"]}
    chose[None] = summary["defaults"]["value"]
    rows = tuple(
        (
            _name(each["trial"]),
            fmean(each["values"]) if each["values"] else None,
            len(each["values"]),
            chose.get(each["trial"]),
            ", ".join(f"{value:.4f}" for value in each["values"]),
        )
        for each in race["entries"]
    )
    columns = ("trial", f"mean {metric}", "rounds", "in the search", "by round")
    said = (
        "Each round is a fresh split of the rows of the trials, the same for all of a round; after each two the worse half is "
        f"left behind. Best over all rounds: {_name(race['winner'])}."
    )
    return [
        Section(
            "race",
            "The best trials on fresh splits",
            (Text((said,)), Table("The race", columns, rows)),
        )
    ]


def _name(number: int | None) -> str:
    return "the defaults" if number is None else f"trial {number}"


def _show_trials(search: "Search", summary: Summary) -> list[Block]:
    trials, metric = summary["trials"], search.runner.metric
    higher = search.runner.objective.higher_is_better
    figures = (
        draw_history(trials, metric, higher),
        draw_importances(summary["importances"]),
        draw_parallel(trials, search.space.dimensions, metric, higher),
    )
    rows = tuple(
        (
            str(each["trial"]),
            each["origin"] or "",
            each["state"],
            each["value"],
            each["seconds"],
            (each["reason"] or "").partition("\n")[0],
            ", ".join(f"{path}={_spell(value)}" for path, value in each["params"].items()),
        )
        for each in trials
    )
    columns = ("trial", "origin", "state", metric, "seconds", "reason", "settings")
    return [
        Figures(tuple(figure for figure in figures if figure is not None)),
        Table("Every trial", columns, rows, is_folded=True),
    ]


def _show_best(search: "Search", summary: Summary) -> list[Block]:
    params = summary["best"]["params"]
    rows = tuple(
        (path, said, _spell(params[path]) if path in params else "as it is")
        for path, said in list_dimensions(search.space)
    )
    return [Table("What was tuned", ("setting", "tried", "best"), rows)]


def _spell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def _list_commands(summary: Summary) -> Commands:
    run = summary["run"]
    return Commands(
        (
            (summary["command"], "train with the best settings on all rows"),
            (f"bert tune --resume {run} --time 20m", "go on with the study"),
            (f"bert runs list --output-dir {run}/trials", "the trials as runs"),
        )
    )
