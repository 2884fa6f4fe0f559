"""What a run shows at its end: metrics beside the answer without a model, files, and what to type next."""

from collections.abc import Mapping
from typing import Any

from .console import print_lines, print_table, program


def print_report(summary: Mapping[str, Any], test_path: str) -> None:
    """Print the summary of a run for people.

    Args:
        summary: what summary.json holds.
        test_path: the table to predict, for the next command.
    """
    metrics, baseline = summary["metrics"], summary["baseline"]
    print_table(
        f"{summary['target']} ({summary['task']}) on {summary['val_rows']} validation rows",
        ("metric", "this model", "without a model"),
        [(_star(name, summary), value, baseline.get(name)) for name, value in metrics.items()],
    )
    print_lines([*_cost(summary), *_files(summary["files"])])
    print_lines(["", "next:", *next_commands(summary["files"], test_path)])


def next_commands(files: Mapping[str, str], test_path: str) -> list[str]:
    """The commands that follow a training run."""
    checkpoint = files.get("best") or files.get("final")
    if checkpoint is None:
        return [
            f"  {program()} train …   # no checkpoint was kept: leave checkpoint.enable_checkpointing on"
        ]
    return [
        f"  {program()} predict --test {test_path} --checkpoint {checkpoint} --output submission.csv"
    ]


def _star(name: str, summary: Mapping[str, Any]) -> str:
    return f"{name} *" if name == summary["monitor"] else name


def _cost(summary: Mapping[str, Any]) -> list[str]:
    return [
        f"* decided the best epoch, {summary['best_epoch']}; the last column answers from the training labels alone",
        f"{summary['trained_parameters']:,} trained parameters, {summary['train_rows']} rows, {summary['steps']} steps, "
        f"{summary['seconds']:.0f} s, {summary['rows_per_second']:,.0f} rows/s, "
        f"{summary['tokens_per_second']:,.0f} tokens/s, {summary['peak_memory_bytes'] / 2**20:,.0f} MiB at most",
    ]


def _files(files: Mapping[str, str]) -> list[str]:
    width = max(map(len, files), default=0)
    return ["", *(f"{name:<{width}}  {path}" for name, path in files.items())]
