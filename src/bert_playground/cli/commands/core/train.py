"""bert train: train or fine-tune an encoder with a head on a table."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json
from bert_playground.cli.utils.report import print_ensemble_report, print_report
from bert_playground.cli.utils.show_config import print_config

if TYPE_CHECKING:
    from bert_playground.config import RunConfig

DEFAULT_TABLE = Path("data/titanic/train.csv")


@options.takes_settings(
    "--train --val --target --id-column --task --class-order --template --max-length --use-pretokenized "
    "--num-workers --prefetch-size --model --pretrain --lora --ensemble --diversity --epochs --max-steps --batch-size --lr "
    "--optimizer --scheduler --grad-accum --skip-nonfinite --refit --precision --metric --seed --no-compile --output-dir "
    "--max-time --logging-steps --mlflow "
    "--experiment --folds --repeats --members --blend --time --pseudo --engine --jobs --ray-address --task-cpus"
)
def train(
    context: typer.Context,
    resume: options.Resume = None,
    show_config: options.ShowConfig = False,
    find_lr: options.FindLr = False,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Train on a CSV: rows become text, a BERT learns the target, the best epoch is kept."""
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    asked, sources = options.read_config(context)
    if show_config:
        print_config(asked, sources, as_json=json)
        return
    if resume is None and asked.data.train is None:
        asked, sources = _use_default_table(asked), {**sources, "data.train": "found"}
    _check_launched(asked, resume, find_lr=find_lr)
    if find_lr:
        _find_lr(asked, resume, as_json=json)
        return
    if _is_cross_validated(asked, resume):
        from bert_playground.cli.utils.blend_report import print_blend_report
        from bert_playground.cli.utils.tuner import find_tuner
        from bert_playground.training.cross_validation.cross_validate import run_cross_validation

        found = run_cross_validation(asked, sources, resume=resume, tune=find_tuner())
        if json:
            print_json(found.summary)
        else:
            print_blend_report(found.summary, _test_beside(asked.data.train))
        return
    if _is_ensemble(asked, resume):
        from bert_playground.training.ensembles import train_ensemble

        together = train_ensemble(asked, sources, resume)
        if json:
            print_json(together.summary)
        else:
            print_ensemble_report(together.summary, _test_beside(asked.data.train))
        return
    from bert_playground.training.run import run_training

    result = run_training(asked, sources, resume=resume)
    if not result.summary:
        return  # a rank that writes nothing
    if json:
        print_json(result.summary)
    else:
        print_report(result.summary, _test_beside(asked.data.train))


def _check_launched(asked: "RunConfig", resume: Path | None, *, find_lr: bool) -> None:
    """Under `bert launch`, refuse what is not one model, before anything is made of it."""
    from bert_playground.distributed.membership import Membership

    if Membership.read() is None:
        return
    from bert_playground.training.rank_folder import check_for_ranks

    if find_lr:
        raise ValueError("--find-lr is a test of one process: run it by bert train, then launch")
    if resume is None:
        check_for_ranks(asked)
    elif _is_cross_validated(asked, resume):
        raise ValueError(
            f"{resume} is a run over folds, whose models are independent; go on with: bert train --resume {resume}"
        )


def _find_lr(asked: "RunConfig", resume: Path | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from bert_playground.cli.utils.range_test import print_range_test
    from bert_playground.training.find_learning_rate import find_learning_rate

    if resume is not None:
        raise ValueError(
            "--find-lr tests a new run, and --resume goes on with another; leave one out"
        )
    found = find_learning_rate(asked)
    if as_json:
        print_json(asdict(found))
    else:
        print_range_test(found)


def _is_cross_validated(asked: "RunConfig", resume: Path | None) -> bool:
    """Whether folds are asked for, or a run to go on with has them."""
    from bert_playground.training.run_folder import is_cross_validated

    if resume is None:
        return asked.cross_validation.folds is not None
    return is_cross_validated(resume)


def _is_ensemble(asked: "RunConfig", resume: Path | None) -> bool:
    """Whether several models are asked for, or a run to go on with has them."""
    from bert_playground.training.run_folder import is_ensemble

    return asked.ensemble.num_models > 1 if resume is None else is_ensemble(resume)


def _use_default_table(asked: "RunConfig") -> "RunConfig":
    """Without any table, the place where the Titanic's is downloaded to is tried."""
    if not DEFAULT_TABLE.is_file():
        raise ValueError(
            f"no table to train on: give --train FILE.csv, or fetch the Titanic to {DEFAULT_TABLE} with "
            "`uv run scripts/download_titanic.py`; `bert quickstart` needs neither"
        )
    data = asked.data.model_copy(update={"train": DEFAULT_TABLE})
    return asked.model_copy(update={"data": data})


def _test_beside(train: Path | None) -> str:
    """The test table that lies beside the training table, else a name to replace."""
    test = (
        train.with_name(train.name.replace("train", "test"))
        if train is not None
        else Path("test.csv")
    )
    return str(test) if test.is_file() and test != train else "test.csv"
