"""bert blend: out-of-fold predictions of several models, of any origin, become one answer."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table

if TYPE_CHECKING:
    from bert_playground.blending import Blend
    from bert_playground.training.blend_files import BlendedFiles


class Method(StrEnum):
    """How answers are combined."""

    GREEDY = "greedy"
    MEAN = "mean"
    RANK_MEAN = "rank_mean"
    LOGISTIC = "logistic"


Oof = Annotated[
    list[Path],
    typer.Argument(
        metavar="oof...",
        help="tables of out-of-fold predictions: an id or row, fold, a column for each model (or MEMBER:CLASS)",
        show_default=False,
    ),
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", metavar="NAME", help="what is to become better (default: the task's)"),
]
MethodName = Annotated[
    Method, typer.Option("--method", metavar="NAME", help="greedy, mean, rank_mean or logistic")
]
Test = Annotated[
    list[Path] | None,
    typer.Option(
        "--test",
        metavar="FILE",
        help="the same columns for the test table; may be repeated",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="CSV to write with --test (default submission.csv)"
    ),
]


@options.takes_settings("--target --id-column --task --class-order")
def blend(
    context: typer.Context,
    oof: Oof,
    metric: Metric = None,
    method: MethodName = Method.GREEDY,
    test: Test = None,
    output: Output = None,
    sample: options.Sample = None,
    proba: options.Proba = False,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Blend out-of-fold predictions of any origin into one answer, and say what each model adds."""
    from bert_playground.cli.utils.output import beside_output, check_output
    from bert_playground.logs import set_up_logs
    from bert_playground.training.blend_files import blend_files

    set_up_logs(log_level)
    asked = options.read_config(context)[0].data
    if output is None and test:
        output = Path("submission.csv")
    check_output(output, [*oof, *(test or ()), sample], json=json)
    found = blend_files(
        oof,
        asked.target or "",
        metric=metric,
        task=asked.task,
        method=method.value,
        id_column=asked.id_column,
        class_order=asked.class_order,
        test=test or (),
        output=output,
        sample=sample,
        probabilities=proba,
    )
    written = None if found.submission is None else found.submission.height
    if json:
        print_json(
            {
                "rows": found.num_rows,
                "folds": found.num_folds,
                "method": method.value,
                "statements": list(found.statements),
                **found.blend.to_dict(),
                "stack": found.blend.stack.to_dict(),
                "output": None if written is None else output,
            }
        )
        return
    with beside_output(output):
        _show(found, method.value, written, output)


def _show(found: "BlendedFiles", method: str, written: int | None, output: Path | None) -> None:
    """What became of the blend, and how many answers were written."""
    from bert_playground.lookup import count_of

    print_lines(found.statements)
    print_table(
        f"{found.blend.objective.name} by {method}, {count_of(found.num_rows, 'row')} in "
        f"{count_of(found.num_folds, 'fold')}",
        ("model", "weight", "alone", "± error", "adds", "± error"),
        _rows(found.blend),
    )
    print_lines(found.blend.sentences())
    if written is not None:
        print_lines([f"{count_of(written, 'answer')} written to {output}"])


def _rows(blend: "Blend") -> list[list[object]]:
    """One line per model, and the blend at the end."""
    rows: list[list[object]] = [
        [
            member.name,
            member.weight,
            member.score,
            member.standard_error,
            *((None, None) if member.adds is None else member.adds),
        ]
        for member in blend.members
    ]
    return [*rows, ["blend", 1.0, blend.score, blend.standard_error, None, None]]
