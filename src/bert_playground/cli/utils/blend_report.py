"""What a cross-validated run shows at its end: every member beside the blend, what each adds, files, and what to type next."""

from collections.abc import Mapping
from typing import Any

from .console import print_lines, print_result, print_table
from .report import kept_file, next_commands


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


def _say_error(error: float | None) -> str:
    return "" if error is None else f"{error:.4f}"
