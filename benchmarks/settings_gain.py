"""What settings change in accuracy: rows put aside, several seeds, paired differences from the defaults.

    uv run python benchmarks/settings_gain.py --train train.csv --try data.numeric_features=auto [--seeds 3] [--rows 2000]
    uv run python benchmarks/settings_gain.py --train train.csv --try augmentation.token_masking=0.1 \
        --try augmentation.value_swap=0.1,augmentation.column_dropout=0.1 [--tta 8] [--set data.template=key_value]
    uv run python benchmarks/settings_gain.py --train train.csv --preset quick --preset production --preset kaggle
    uv run python benchmarks/settings_gain.py --train train.csv --rows 500 --unlabelled --try model.pretrain=on

Per seed a quarter of the rows is put aside, stratified by class; `bert train` with its defaults learns the rest (or so many
rows of it) as it is and with each setting that is tried, and the best checkpoints answer the rows put aside, once. Seeds
and rows are the same for all, so differences are taken seed by seed. `--first-seed 100` gives other parts, to choose settings
on; `--set` changes all sides alike. With `--preset` the presets of that name are the sides, the first one in the place of the
defaults. With `--unlabelled` all rows that are not learned from are the test table, without their target.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import polars as pl
import yaml
from rows_aside import Scores, choose_rows, print_means, score, train, write_table

from bert_playground.data.reading.table import read_table
from bert_playground.data.schema.roles import infer_roles
from bert_playground.logs import set_up_logs

DEFAULT = "as it is"


def read_settings(text: str) -> dict[str, object]:
    """The values in "data.a=1,data.b=[x, y]", by dotted name."""
    return yaml.safe_load("{" + text.replace("=", ": ") + "}")


def measure(asked: argparse.Namespace) -> dict[str, list[Scores]]:
    """Metrics by what was tried, one entry per seed."""
    frame = read_table(asked.train)
    roles = infer_roles(frame, target=asked.target)
    same: dict[str, object] = {"data.target": roles.target}
    same |= {"model.pretrained": asked.model} if asked.model else {}
    for text in asked.set:
        same |= read_settings(text)
    presets: dict[str, str | None] = {name: name for name in asked.preset} or {DEFAULT: None}
    sides = [(name, preset, {}) for name, preset in presets.items()]
    sides += [(text, None, read_settings(text)) for text in asked.tries]
    found: dict[str, list[Scores]] = {}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        is_aside = choose_rows(frame, roles.targets, round(asked.aside * frame.height), seed)
        rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
        others = aside
        if asked.rows:
            is_learned = choose_rows(rest, roles.targets, asked.rows, seed)
            others = pl.concat([aside, rest.filter(~is_learned)])
            rest = rest.filter(is_learned)
        with tempfile.TemporaryDirectory() as folder:
            test = others if asked.unlabelled else None
            table = write_table(Path(folder), rest, asked.train, test)
            for name, preset, more in sides:
                checkpoint = train(table, Path(folder) / "runs", seed, same | more, preset)
                for number in (1, *([asked.tta] if asked.tta else [])):
                    label = name if number == 1 else f"{name}, tta {number}"
                    scores = score(checkpoint, aside[: asked.most_aside], number)
                    found.setdefault(label, []).append(scores)
                    line = {"seed": seed, "with": label, "rows": rest.height, **scores}
                    print(json.dumps(line), flush=True)
                shutil.rmtree(Path(folder) / "runs")
    return found


def main() -> None:
    """Measure, and print one line per run and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--target", help="column to predict; default: inferred")
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="KEY=VALUE,…")
    parser.add_argument("--preset", action="append", default=[], metavar="NAME")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE,…")
    parser.add_argument("--model", help="a checkpoint to start from; default: random weights")
    parser.add_argument("--rows", type=int, help="training rows; default: all not put aside")
    parser.add_argument(
        "--unlabelled", action="store_true", help="the test table holds all rows not learned from"
    )
    parser.add_argument("--aside", type=float, default=0.25, help="share of rows put aside")
    parser.add_argument(
        "--most-aside", type=int, help="so many of these are answered; default: all"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--tta", type=int, help="answer so many variants of each row too")
    asked = parser.parse_args()
    set_up_logs("WARNING")
    print_means(measure(asked))


if __name__ == "__main__":
    main()
