"""What a cross-validated run shows at its end: every member beside the blend, what each adds, files, and what to type next."""

from collections.abc import Mapping
from typing import Any

from bert_playground.lookup import count_of

from .console import print_lines, print_result, print_table
from .report import kept_file, next_commands

MOST_TRIALS = 12  # that are printed


def print_blend_report(summary: Mapping[str, Any], test_path: str) -> None:
    """Print the summary of a cross-validated run for people.

    Args:
        summary: what summary.json holds.
        test_path: the table to predict, for the next command.
    """
    blend, metrics = summary["blend"], summary["metrics"]
    folds = f"{summary['num_folds']} folds" + (
        f" of {summary['num_repeats']} repeats each" if summary["num_repeats"] > 1 else ""
    )
    names = list(metrics)
    weights = {member["name"]: member for member in blend["members"]}
    rows = [
        (
            name,
            weights[name]["weight"],
            *(values.get(metric) for metric in names),
            _say_error(weights[name]["standard_error"]),
        )
        for name, values in summary["member_metrics"].items()
    ]
    rows.append(("blend", None, *metrics.values(), _say_error(blend["standard_error"])))
    print_table(
        f"{summary['target']} ({summary['task']}), {summary['val_rows']} rows answered out of {folds}",
        ("model", "weight", *(name.removeprefix("val_") for name in names), f"± {blend['metric']}"),
        rows,
    )
    scores = list(blend["fold_scores"].values())
    if scores:
        listed = "  ".join(f"{value:.4f}" for value in scores)
        print_lines([f"{blend['metric']} of the blend, fold by fold: {listed}"])
    print_lines([*blend["sentences"]])
    print_lines(_say_order(summary))
    for what in ("failures", "skipped"):
        print_lines([f"{name} is left out: {why}" for name, why in summary[what].items()])
    files = summary["files"]
    width = max(map(len, files))
    print_lines(
        [
            f"{summary['seconds']:.0f} s in all",
            "",
            *(f"{name:<{width}}  {path}" for name, path in files.items()),
            "",
            "next:",
            *next_commands(files, test_path),
        ]
    )
    print_result(kept_file(files))


def _say_order(summary: Mapping[str, Any]) -> list[str]:
    """What was tried, in which order and for how long; nothing of a run of an earlier version."""
    if "order" not in summary:
        return []
    begun = [each["member"] for each in summary["order"]]
    parts = [f"{name} before" for name in summary["member_metrics"] if name not in begun]
    parts += [f"{each['member']} {each['seconds']:.0f} s" for each in summary["order"]]
    lines = [f"tried in this order, seconds of all folds: {', '.join(parts)}"]
    for each in summary["trials"][:MOST_TRIALS]:
        state = each["reason"] or f"{each['metric']} {each['value']:.4f}"
        values = ", ".join(f"{path} {_spell(value)}" for path, value in each["params"].items())
        lines.append(f"  trial {each['trial']}: {state}, {each['seconds'] or 0:.0f} s ({values})")
    if (more := len(summary["trials"]) - MOST_TRIALS) > 0:
        lines.append(f"  and {count_of(more, 'more trial')}; summary.json has all")
    return lines


def _spell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "none" if value is None else str(value)


def _say_error(error: float | None) -> str:
    return "" if error is None else f"{error:.4f}"
