"""What a run shows at its end: metrics beside the constant baseline, files, and what to type next."""

from collections.abc import Mapping, Sequence
from typing import Any

from .console import print_lines, print_result, print_table, program


def print_report(summary: Mapping[str, Any], test_path: str) -> None:
    """Print the summary of a run for people.

    Args:
        summary: what summary.json holds.
        test_path: the table to predict, for the next command.
    """
    metrics, baseline = summary["metrics"], summary["baseline"]
    print_table(
        f"{summary['target']} ({summary['task']}) on {summary['val_rows']} validation rows",
        ("metric", "this model", "baseline"),
        [(_star(name, summary), value, baseline.get(name)) for name, value in metrics.items()],
    )
    print_lines([*_cost(summary), *_files(summary["files"])])
    print_lines(["", "next:", *next_commands(summary["files"], test_path)])
    print_result(kept_file(summary["files"]))


def print_ensemble_report(summary: Mapping[str, Any], test_path: str) -> None:
    """Print each member's validation scores, those of all together, and how far the members disagree.

    Args:
        summary: what summary.json holds.
        test_path: the table to predict, for the next command.
    """
    from bert_playground.run_record import DISAGREEMENTS

    members, together, baseline = summary["members"], summary["metrics"], summary["baseline"]
    print_table(
        f"{summary['target']} ({summary['task']}) on {summary['val_rows']} validation rows",
        ("model", *(name.removeprefix("val_") for name in together)),
        [
            *((member["what"], *map(member["metrics"].get, together)) for member in members),
            ("mean of the models", *(_mean_of(members, name) for name in together)),
            (f"all {len(members)} together", *together.values()),
            ("baseline", *(baseline.get(name) for name in together)),
        ],
    )
    for name, value in summary["disagreement"].items():
        print_lines([DISAGREEMENTS[name].format("not defined" if value is None else value)])
    print_lines([f"{summary['seconds']:.0f} s of training", *_files(summary["files"])])
    print_lines(["", "next:", *next_commands(summary["files"], test_path)])
    print_result(kept_file(summary["files"]))


def _mean_of(members: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [member["metrics"].get(name) for member in members]
    return None if None in values else sum(values) / len(values)


def print_pretraining_report(summary: Mapping[str, Any]) -> None:
    """Print the summary of a pretraining run, what summary.json holds, for people."""
    metrics, baseline, files = summary["metrics"], summary["baseline"], summary["files"]
    print_table(
        f"hidden words of {summary['val_rows']} rows held out",
        ("metric", "this model", "by frequency alone"),
        [(_star(name, summary), value, baseline.get(name)) for name, value in metrics.items()],
    )
    print_lines(
        [f"* decided the best epoch, {summary['best_epoch']}", _work(summary), *_end(summary)]
    )
    print_lines([*_files(files), "", "next:"])
    checkpoint = _find_checkpoint(files)
    if checkpoint is None:
        print_lines(next_commands(files, ""))
    else:
        print_lines([f"  {program()} train --model {checkpoint} --train {summary['train']}"])
    print_result(kept_file(files))


def next_commands(files: Mapping[str, str], test_path: str) -> list[str]:
    """The commands that follow a training run."""
    checkpoint = _find_checkpoint(files)
    if checkpoint is None:
        return [
            f"  {program()} train …   # no checkpoint was kept: leave checkpoint.enable_checkpointing on"
        ]
    return [
        f"  {program()} predict --test {test_path} --checkpoint {checkpoint} --output submission.csv"
    ]


def kept_file(files: Mapping[str, str]) -> str:
    """What a run is for: its checkpoint, else the last file that it wrote."""
    return _find_checkpoint(files) or list(files.values())[-1]


def _find_checkpoint(files: Mapping[str, str]) -> str | None:
    return files.get("refit") or files.get("best") or files.get("final")


def _star(name: str, summary: Mapping[str, Any]) -> str:
    return f"{name} *" if name == summary["monitor"] else name


def _cost(summary: Mapping[str, Any]) -> list[str]:
    return [
        f"* decided the best epoch, {summary['best_epoch']}; the last column answers from the training labels alone",
        _work(summary),
        *_end(summary),
    ]


def _end(summary: Mapping[str, Any]) -> list[str]:
    """Why a run ended before its last epoch, and what it left out."""
    reason, skipped = summary["stop_reason"], summary["skipped_steps"]
    lines = [f"ended early: {reason}"] if reason not in ("", "all steps taken") else []
    if skipped:
        lines.append(
            f"{skipped} of {summary['steps']} updates were left out, as they were not finite"
        )
    return lines


def _work(summary: Mapping[str, Any]) -> str:
    return (
        f"{summary['trained_parameters']:,} trained parameters, {summary['train_rows']} rows, {summary['steps']} steps, "
        f"{summary['seconds']:.0f} s, {summary['rows_per_second']:,.0f} rows/s, "
        f"{summary['tokens_per_second']:,.0f} tokens/s, {summary['peak_memory_bytes'] / 2**20:,.0f} MiB at most"
    )


def _files(files: Mapping[str, str]) -> list[str]:
    width = max(map(len, files), default=0)
    return ["", *(f"{name:<{width}}  {path}" for name, path in files.items())]
