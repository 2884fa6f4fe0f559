"""What tuning gains: `bert tune` for a given time against the defaults, fresh seeds on rows put aside, paired.

    uv run python benchmarks/tuning_gain.py --train a/train.csv --train b/train.csv --time 20m [--metric roc_auc]
        [--rows 3000] [--aside 0.3] [--seeds 5]

For each table a study of its own. Gains are those of its verdict: both configurations are trained with seeds, and on splits,
that no trial has used, and answer rows that no trial has seen. The last column is the overhead of the study: the seconds of a trial
beyond those that its training took, the mean over all trials.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from rows_aside import choose_rows, write_table

from bert_playground.config import load_config
from bert_playground.config.sections.base import read_duration
from bert_playground.data.reading.table import read_table
from bert_playground.data.schema.roles import infer_roles
from bert_playground.logs import set_up_logs
from bert_playground.tuning.request import TuneRequest
from bert_playground.tuning.tune import run_tuning


def tune_table(path: Path, asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The summary of a study of one table."""
    if asked.rows:
        frame = read_table(path)
        roles = infer_roles(frame)
        if asked.rows < frame.height:
            kept = frame.filter(choose_rows(frame, roles.targets, asked.rows, asked.seed))
            path = write_table(folder, kept, path)
    flags: dict[str, object] = {"data.train": path, "training.seed": asked.seed}
    flags |= {"training.output_dir": folder / "runs"}
    flags |= {"training.metric": asked.metric} if asked.metric else {}
    flags |= {"cross_validation.folds": asked.folds} if asked.folds else {}
    config, sources = load_config(None, {}, flags)
    seconds = read_duration(asked.time)
    request = TuneRequest(
        seconds=seconds, trials=asked.trials, aside=asked.aside, seeds=asked.seeds
    )
    return run_tuning(config, sources, request)


def measure_overhead(summary: dict[str, object]) -> list[float]:
    """Seconds of each trial beyond those of its training."""
    found = []
    for trial in summary["trials"]:
        path = Path(trial["run"] or "") / "summary.json"
        if trial["seconds"] is not None and path.is_file():
            found.append(trial["seconds"] - json.loads(path.read_text())["seconds"])
    return found


def main() -> None:
    """Measure, and print one line per table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, action="append", required=True)
    parser.add_argument("--time", default="20m")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--metric")
    parser.add_argument(
        "--folds", type=int, help="that trials are trained on; default: by the table"
    )
    parser.add_argument("--rows", type=int, help="of the table; default: all")
    parser.add_argument("--aside", type=float, default=0.3, help="share of rows put aside")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    set_up_logs("WARNING")
    for path in asked.train:
        with tempfile.TemporaryDirectory() as folder:
            summary = tune_table(path, asked, Path(folder))
            overhead = measure_overhead(summary)
            verdict = summary["verdict"]
            line = {
                "table": path.parent.name,
                "metric": verdict["metric"],
                "trials": len(summary["trials"]),
                "raced": len(summary["race"]["entries"]) if summary["race"] else 0,
                "rounds": max(len(each["values"]) for each in summary["race"]["entries"])
                if summary["race"]
                else 0,
                "tuned": verdict["tuned"].get(verdict["metric"]),
                "defaults": verdict["defaults"].get(verdict["metric"]),
                "gain": verdict["gain"],
                "standard_error": verdict["error"],
                "seeds": len(verdict["seeds"]),
                "is_shown": verdict["is_shown"],
                "why_not_measured": verdict["why"],
                "best": summary["best"]["params"],
                "seconds": summary["seconds"],
                "overhead_per_trial": round(statistics.mean(overhead), 2) if overhead else None,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
