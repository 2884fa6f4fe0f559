"""What `bert pretrain` adds to a model from random weights: rows put aside, several seeds, means with standard errors.

    uv run python benchmarks/pretraining_gain.py --train train.csv --test test.csv [--labelled 500] [--seeds 5]

Per seed, a share of the rows is put aside, stratified by class; both sides are fine-tuned by `bert train` with its defaults
on the rest (or on so many labelled rows of it), and their best checkpoints answer the rows put aside, once. Pretraining happens once, on
the text of all rows, those put aside included; it sees no label. `--first-seed 100` gives other parts, to choose settings on.
"""

import argparse
import json
import tempfile
from pathlib import Path

from rows_aside import Scores, choose_rows, print_means, score, train, write_table

from bert_playground.config import load_config
from bert_playground.data.reading.table import read_table
from bert_playground.data.schema.roles import infer_roles
from bert_playground.logs import set_up_logs
from bert_playground.training.pretraining import run_pretraining


def pretrain(asked: argparse.Namespace, output: Path) -> str:
    """`bert pretrain` on all rows; the best checkpoint."""
    flags: dict[str, object] = {
        "data.train": asked.train,
        "pretraining.tables": asked.test,
        "training.output_dir": output,
        "training.batch_size": asked.batch_size,
        "training.epochs": asked.epochs,
        "checkpoint.save_best_only": True,
    }
    config, _ = load_config(None, {}, flags)
    result = run_pretraining(config)
    print(json.dumps({"pretrained": result.metrics, "steps": result.summary["steps"]}), flush=True)
    return str(result.best_checkpoint)


def main() -> None:
    """Measure, and print one line per run and a table of means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, nargs="*", default=[])
    parser.add_argument("--labelled", type=int, help="labelled rows; default: all not put aside")
    parser.add_argument("--aside", type=float, default=0.25, help="share of rows put aside")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="of pretraining; default: by its recipe")
    parser.add_argument("--batch-size", type=int, default=128, help="of pretraining")
    parser.add_argument("--pretrained", help="a folder of `bert pretrain`, to use it again")
    parser.add_argument("--output", type=Path, default=Path("output/pretraining_gain"))
    asked = parser.parse_args()
    set_up_logs("WARNING")
    frame = read_table(asked.train)
    targets = infer_roles(frame).targets
    model = asked.pretrained or pretrain(asked, asked.output)
    found: dict[str, list[Scores]] = {"random weights": [], "pretrained": []}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        is_aside = choose_rows(frame, targets, round(asked.aside * frame.height), seed)
        rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
        if asked.labelled:
            rest = rest.filter(choose_rows(rest, targets, asked.labelled, seed))
        with tempfile.TemporaryDirectory() as folder:
            table = write_table(Path(folder), rest, asked.train)
            starts = {"random weights": {}, "pretrained": {"model.pretrained": model}}
            for name, start in starts.items():
                scores = score(train(table, asked.output, seed, start), aside)
                found[name].append(scores)
                print(
                    json.dumps({"seed": seed, "from": name, "rows": rest.height, **scores}),
                    flush=True,
                )
    print_means(found)


if __name__ == "__main__":
    main()
