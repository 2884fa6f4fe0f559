"""bert model calibrate: calibrate a checkpoint's probabilities (temperature scaling)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint, refuse_together
from bert_playground.cli.utils.console import print_json, print_lines, print_table

if TYPE_CHECKING:
    from bert_playground.training.evaluation.calibrate import Calibration

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="CSV with the target, not trained on (default: the run's validation rows)",
        show_default=False,
    ),
]


def calibrate(
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    data: Data = None,
    batch_size: options.PredictBatchSize = 128,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Calibrate a checkpoint's probabilities (temperature scaling) on rows it was not trained on, and store the temperature."""
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    done, picture = _calibrate(choose_checkpoint(checkpoint, more_checkpoints), data, batch_size)
    values = {
        name: (getattr(done.before, name), getattr(done.after, name))
        for name in ("temperature", "log_loss", "ece")
    }
    if json:
        print_json(
            {
                "checkpoint": done.checkpoint,
                "rows": done.rows,
                "accuracy": done.accuracy,
                "before": {name: before for name, (before, _) in values.items()},
                "after": {name: after for name, (_, after) in values.items()},
                "picture": picture,
            }
        )
        return
    print_table(
        f"{done.checkpoint} on {done.rows} rows",
        ("", "before", "after"),
        [(name, before, after) for name, (before, after) in values.items()],
    )
    rose = ["ECE rose though log loss, which the temperature was fitted by, did not"]
    print_lines(
        [
            f"fitted on {done.source}",
            *(rose if done.after.ece > done.before.ece else []),
            "answers stay the same, probabilities change; `bert predict --proba` uses the temperature from now on",
            f"picture: {picture}",
        ]
    )


def _calibrate(folder: Path, data: Path | None, batch_size: int) -> "tuple[Calibration, Path]":
    """What was fitted and stored, and its picture: both are written, or neither."""
    from functools import partial

    from bert_playground.blend_predictor import BlendPredictor
    from bert_playground.files import restored_on_failure
    from bert_playground.inference import Predictor
    from bert_playground.models.hub_files import CONFIG
    from bert_playground.runs import BLEND_NAME, RunDir
    from bert_playground.training.evaluation.calibrate import fit_calibration, store_temperature
    from bert_playground.training.evaluation.calibrate_blend import (
        fit_blend_calibration,
        store_blend_temperature,
    )
    from bert_playground.training.evaluation.reliability_plot import draw_reliability

    if (folder / BLEND_NAME).is_file():
        blend = BlendPredictor.load(folder, batch_size=batch_size)
        done = fit_blend_calibration(blend, data)
        store, changed = partial(store_blend_temperature, blend, done), BLEND_NAME
    else:
        refuse_together(folder, "model calibrate --checkpoint")
        done = fit_calibration(Predictor.load(folder, batch_size=batch_size), data)
        store, changed = partial(store_temperature, done), CONFIG
    picture = RunDir.of_checkpoint(done.checkpoint).path / "reliability.png"
    with restored_on_failure(done.checkpoint / changed):
        draw_reliability(done, picture, store)
    return done, picture
