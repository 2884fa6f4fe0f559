"""bert model inspect: architecture, parameters, memory and FLOPs of a model."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import refuse_together
from bert_playground.cli.utils.completion import complete_checkpoints
from bert_playground.cli.utils.console import print_json, print_table

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="checkpoint, run, Hugging Face or ONNX folder, or a Hub id",
        autocompletion=complete_checkpoints,
    ),
]
Length = Annotated[
    int | None,
    typer.Option(
        "--length",
        metavar="N",
        min=1,
        help="tokens in a row, for the costs (default: 128, or what the model takes)",
        show_default=False,
    ),
]
Layers = Annotated[
    bool,
    typer.Option(
        "--layers", metavar="", help="list every layer and every stored weight", show_default=False
    ),
]


def inspect(
    model: Model,
    length: Length = None,
    layers: Layers = False,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Show architecture, parameters, memory, FLOPs, head, tokenizer and training of a model."""
    from bert_playground.export.onnx import find_graphs, inspect_onnx
    from bert_playground.inspection import inspect_model
    from bert_playground.logs import set_up_logs
    from bert_playground.lookup import expand_home

    set_up_logs(log_level)
    refuse_together(expand_home(model), "model inspect")
    if find_graphs(Path(model)):
        found = inspect_onnx(Path(model))
    else:
        found = inspect_model(model, length)._asdict()
    if json:
        print_json(found)
        return
    tables = {"layers": found.pop("layers"), "weights": found.pop("weights")}
    for title, facts in found.items():
        if facts:
            print_table(title, ("what", "value"), _rows(facts))
    if layers:
        for title, rows in tables.items():
            if not rows:
                continue
            print_table(title, tuple(rows[0]), [list(map(_spell, row.values())) for row in rows])


def _rows(facts: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    for key, value in facts.items():
        if value is None or value == []:
            continue
        if key.endswith(("_bytes", "_per_token", "_per_row", ".safetensors")):
            yield key.removesuffix("_bytes"), _spell_large(key, value)
        else:
            yield key, _spell(value)


def _spell_large(key: str, value: int) -> str:
    """Bytes and operations in units that can be read."""
    if "flops" in key:
        return f"{value / 1e6:,.1f} MFLOP" if value < 1e9 else f"{value / 1e9:,.2f} GFLOP"
    return f"{value / 2**10:,.1f} KiB" if value < 2**20 else f"{value / 2**20:,.1f} MiB"


def _spell(value: Any) -> object:
    if isinstance(value, dict):
        given = {key: one for key, one in value.items() if one not in (None, [], {})}
        return ", ".join(f"{key} {_spell(one)}" for key, one in given.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
