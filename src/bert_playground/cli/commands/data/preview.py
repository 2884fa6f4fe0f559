"""bert data preview: rows as the text and tokens that the model reads."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bert_playground.cli.commands.data.describe import Table
from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint, pretrained_folder
from bert_playground.cli.utils.completion import complete_checkpoints
from bert_playground.cli.utils.console import print_json, print_lines, print_table

Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="PATH",
        help="read rows as this run or checkpoint reads them",
        show_default=False,
        autocompletion=complete_checkpoints,
    ),
]
Rows = Annotated[int, typer.Option("--rows", min=1, help="rows to show")]
ShowTokens = Annotated[
    bool, typer.Option("--tokens", help="show the tokens, not only their number")
]


@options.takes_settings("--model --target --id-column --task --template --max-length")
def preview(
    context: typer.Context,
    table: Table,
    checkpoint: Checkpoint = None,
    rows: Rows = 5,
    tokens: ShowTokens = False,
    json: options.Json = False,
) -> None:
    """Show rows as text with their token counts, by a checkpoint or as training would read them."""
    from bert_playground.data.describe import load_reader, preview_table
    from bert_playground.data.prepare import fit_text
    from bert_playground.data.schema.roles import read_test_columns, read_test_table
    from bert_playground.data.schema.sampling import READ_ALL, read_within
    from bert_playground.data.templates.word_counts import describe_words
    from bert_playground.logs import set_up_logs
    from bert_playground.models.sizes import fit_to_checkpoint

    set_up_logs(None)
    asked, _ = fit_to_checkpoint(*options.read_config(context))
    reader = None if checkpoint is None else load_reader(choose_checkpoint(checkpoint, None))
    # A series is cut into rows as a whole.
    is_series = asked.data.horizon is not None if reader is None else reader[1] is not None
    is_drawn = False if is_series else asked.data.streaming
    frame, message = read_within(table, seed=0, is_drawn=is_drawn, hint=READ_ALL)
    if reader is not None:
        text, windows = reader
        frame = frame if windows is None else windows.label(frame).frame
    else:
        fitted, frame = fit_text(
            frame,
            asked.data,
            pretrained_dir=pretrained_folder(asked.model.pretrained),
            test_columns=read_test_columns(table, frame.columns),
            test_rows=read_test_table(table, frame.columns),
        )
        text = fitted.of_training_rows
    shown = preview_table(text, frame, rows)
    if json:
        print_json({**shown, "read": message})
        return
    print_table(f"{table}, template {text.template!r}", *_show_rows(shown["rows"], tokens))
    print_table("tokens of all rows", ("what", "tokens"), shown["token_counts"].items())
    drawn = [f"looked at: {message}"] if message.endswith(READ_ALL) else []
    print_lines([*drawn, *text.statements, *describe_words(shown["words"])])


def _show_rows(
    rows: list[dict[str, Any]], has_pieces: bool
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Titles and cells of the first table."""
    has_values = bool(rows) and "values" in rows[0]
    beside = ("values, as quantiles",) if has_values else ()
    cells = []
    for number, row in enumerate(rows):
        read = " ".join(row["pieces"]) if has_pieces else row["text"]
        values = (_spell(row["values"]),) if has_values else ()
        cells.append((number, read, *values, row["tokens"]))
    return ("row", "pieces" if has_pieces else "text", *beside, "tokens"), cells


def _spell(values: dict[str, float | None]) -> str:
    """Quantiles of the training rows, as they are added to the tokens of their cells or stand beside the text."""
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items() if value is not None)
