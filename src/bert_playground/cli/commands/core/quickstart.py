"""bert quickstart: the first run, with nothing to prepare."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import (
    print_json,
    print_lines,
    print_result,
    print_table,
    program,
)

Output = Annotated[
    Path,
    typer.Option(
        "--output-dir", "--output", metavar="FOLDER", help="folder for the tables and the run"
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="random seed of split, weights and order")
]


def quickstart(
    output: Output = Path("output"),
    seed: Seed = 0,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Train on a real table in a minute: no account, no download, no GPU."""
    from bert_playground.logs import set_up_logs
    from bert_playground.quickstart.films import STORY
    from bert_playground.quickstart.run import run_quickstart

    set_up_logs(log_level)
    if not json:
        print_lines([STORY, ""])
    result = run_quickstart(output, seed)
    if json:
        print_json(result.to_dict())
        return
    print_table(
        f"{result.num_test_rows} films, each put aside once, in {result.num_parts} parts",
        ("model", "accuracy", "±", "ROC-AUC", "±"),
        [
            (
                score.name,
                f"{score.accuracy:.4f}",
                f"{score.accuracy_error:.4f}",
                f"{score.roc_auc:.4f}",
                f"{score.roc_auc_error:.4f}",
            )
            for score in result.scores
        ],
    )
    files = result.files
    print_lines(
        [
            result.verdict,
            "All models learned from the same rows: boosting and the linear model from all at once, encoder and stack by folds. ± is the standard error over the parts, each with a seed of its own.",
            f"trained and judged in {result.seconds:.0f} s ({result.cpu_seconds:.0f} s of all cores together)",
            "",
            *(f"{name:<{max(map(len, files))}}  {path}" for name, path in files.items()),
            "",
            "next:",
            f"  {program()} predict --test {files['test']} --checkpoint {files['checkpoint']} --proba --output probabilities.csv",
            f"  {program()} train --train {files['train']} --folds 3 --model sentence-transformers/all-MiniLM-L6-v2   # pretrained, downloads 90 MB",
            f"  {program()} train --train your.csv --folds 5   # your own table: target, task and id are inferred and stated",
        ]
    )
    print_result(files["checkpoint"])
