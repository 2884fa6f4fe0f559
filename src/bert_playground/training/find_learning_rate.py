"""find_learning_rate: the learning-rate range test: the loss while the rate rises from step to step, and what it suggests."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np

from bert_playground.config.schema import RunConfig
from bert_playground.data.core.types import Batch, Loader
from bert_playground.data.prepare import prepare
from bert_playground.files import replaced_file
from bert_playground.logger import logger
from bert_playground.plots import BEST, INK, TRAIN, Axes, Box, Figure, fade
from bert_playground.runs import RunDir
from bert_playground.training.build import fit_pipeline
from bert_playground.training.fit_data import make_loaders
from bert_playground.training.start import seed_everything
from bert_playground.training.trial_steps import make_trial

LOWEST, HIGHEST = 1e-7, 10.0
NUM_STEPS = 100
SMOOTHING = 0.9  # of the moving average of the loss: about the last ten steps
REACH = 5  # steps on both sides between which a slope is taken, as single batches are noisy
DIVERGED = 4.0  # times the lowest smoothed loss
SHOWN = 1.5  # times the first loss, in the picture
FEWEST_STEPS = 20  # below this a curve says nothing
WIDTH, HEIGHT = 6.5, 4.2  # of the picture, in inches


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw.

    Attributes:
        rates: of each step, rising.
        losses: of each step.
        smoothed: their moving average with bias correction.
        suggestion: the rate at which the smoothed loss falls fastest; None: it never falls.
        picture: where the curve is drawn.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    picture: Path

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is lowest."""
        return self.rates[int(np.argmin(self.smoothed))]


def find_learning_rate(config: RunConfig) -> RangeTest:
    """Train for up to NUM_STEPS steps while the rate rises exponentially, and keep nothing but a picture.

    The steps are those of the run that the configuration asks for: its optimizer, batches and regularisation. They end
    early where the loss has diverged.

    Raises:
        ValueError: tables and configuration do not fit.

    Reference: Smith 2015, arXiv 1506.01186.
    """
    _refuse(config)
    run = RunDir.create(config.training.output_dir)
    try:
        seed_everything(config.training.seed)
        prepared = prepare(config)
        pipeline = fit_pipeline(prepared, config)
        for note in (*prepared.notes, *pipeline.statements):
            logger.info(note)
        train_data, _ = make_loaders(pipeline, prepared, config)
        assert train_data.labels is not None
        take_step = make_trial(config, pipeline, train_data.labels)
        groups = _endless(train_data, config.training.gradient_accumulation_steps)
        rates, losses, smoothed = [], [], list[float]()
        for rate in rising_rates():
            loss = take_step(next(groups), rate)
            if not math.isfinite(loss):
                break
            rates.append(rate)
            losses.append(loss)
            smoothed = smooth(losses)
            if smoothed[-1] > DIVERGED * min(smoothed):
                break
        suggestion = suggest_rate(rates, smoothed)
        draw(run.range_test, rates, losses, smoothed, suggestion)
    finally:
        if not run.range_test.is_file():
            run.discard_unused()
    return RangeTest(rates, losses, smoothed, suggestion, run.range_test)


def rising_rates() -> list[float]:
    """NUM_STEPS rates from LOWEST to HIGHEST, each the same multiple of the one before."""
    return [float(rate) for rate in np.geomspace(LOWEST, HIGHEST, NUM_STEPS)]


def smooth(losses: Sequence[float]) -> list[float]:
    """The exponential moving average, divided by the weight that it has so far."""
    average, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**number))
    return smoothed


def suggest_rate(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """The rate, with two digits, at which the smoothed loss falls fastest per factor of the rate, before its lowest point.

    Returns:
        None where the curve is too short, or never falls.
    """
    lowest = int(np.argmin(smoothed)) if len(smoothed) else 0
    if len(rates) < FEWEST_STEPS or lowest < 2:
        return None
    middle = np.arange(lowest + 1)
    before, after = np.maximum(middle - REACH, 0), np.minimum(middle + REACH, len(rates) - 1)
    values, logs = np.asarray(smoothed), np.log(rates)
    slopes = (values[after] - values[before]) / (logs[after] - logs[before])
    steepest = int(np.argmin(slopes))
    return float(f"{rates[steepest]:.1e}") if slopes[steepest] < 0 else None


def draw(
    path: Path,
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
) -> None:
    """Write a PNG of the loss over the rate's power of ten, with the suggestion marked."""
    figure = Figure(WIDTH, HEIGHT)
    box = Box(0.75, 0.65, WIDTH - 0.15, HEIGHT - 0.5)
    powers = [math.log10(rate) for rate in rates]
    # Where the loss has diverged its height says nothing, and would flatten the rest.
    shown = [min(loss, SHOWN * smoothed[0]) for loss in smoothed]
    axes = Axes(figure, box, math.log10(HIGHEST), shown, start=math.log10(LOWEST))
    clipped = [min(axes.high, max(axes.low, loss)) for loss in losses]
    axes.plot(list(zip(powers, clipped, strict=True)), fade(TRAIN, 0.3), 1)
    axes.plot(list(zip(powers, shown, strict=True)), TRAIN)
    title = "loss, its moving average"
    if suggestion is not None:
        at = int(np.argmin(np.abs(np.log(rates) - math.log(suggestion))))
        axes.mark((math.log10(suggestion), smoothed[at]), BEST)
        title += f"; steepest at {suggestion:g}"
    axes.label(title, "learning rate, as a power of ten")
    figure.text((0.15, 0.06 * HEIGHT), "learning-rate range test", 12, INK, "lm", bold=True)
    with replaced_file(path) as temporary:
        figure.save(temporary)


def _endless(data: Loader, group_size: int) -> Iterator[list[Batch]]:
    """The batches of one epoch after another, in groups of one optimizer step."""
    for epoch in count():
        batches = iter(data.iterate(epoch))
        while group := list(islice(batches, group_size)):
            yield group


def _refuse(config: RunConfig) -> None:
    """What a range test has no answer to.

    Raises:
        ValueError: says what to leave out.
    """
    wrong: Mapping[str, bool] = {
        "--folds": config.cross_validation.folds is not None,
        "--ensemble": config.ensemble.num_models > 1,
        "--pretrain (name what was pretrained by --model)": config.model.pretrain == "on"
        and config.model.pretrained is None,
        "--batch-size auto": config.training.batch_size == "auto",
    }
    if asked := [name for name, is_asked in wrong.items() if is_asked]:
        raise ValueError(
            f"--find-lr tests one encoder on batches of a known size; leave out {', '.join(asked)}"
        )
