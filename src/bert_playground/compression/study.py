"""search_recipes: recipes tried one after the other by Optuna, until the time is over; a killed search goes on."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bert_playground.compression.point import POINT, Point, Workshop
from bert_playground.compression.recipe import LAYER_CHOICES, Recipe, Shape
from bert_playground.documents import readable_study
from bert_playground.extras import require_extra
from bert_playground.leftovers import sweep_folder
from bert_playground.logger import logger
from bert_playground.lookup import look_up
from bert_playground.training.callbacks.progress import show_fits
from bert_playground.training.comparison.paired import direction
from bert_playground.training.core.divergence import DivergenceError

if TYPE_CHECKING:
    from collections.abc import Callable

    import optuna

Sampler = Literal["nsga2", "tpe"]
Direction = Literal["maximize", "minimize"]
JOURNAL, STUDY = "study.journal", "compress"
PARTS = (0.25, 0.5, 0.75, 1.0)  # of heads
WIDTHS = (0.125, 0.25, 0.5, 0.75, 1.0)  # of neurons
# Tried first: half and a quarter of the work, in depth and in width.
FIRST: tuple[dict[str, Any], ...] = (
    {"layers": 0.5, "heads": 1.0, "neurons": 1.0, "layer_choice": 1, "bits": 0},
    {"layers": 0.34, "heads": 1.0, "neurons": 0.5, "layer_choice": 1, "bits": 0},
    {"layers": 0.5, "heads": 0.5, "neurons": 0.5, "layer_choice": 1, "bits": 0},
    {"layers": 1.0, "heads": 0.5, "neurons": 0.25, "layer_choice": 0, "bits": 0},
    {"layers": 0.5, "heads": 1.0, "neurons": 1.0, "layer_choice": 0, "bits": 8},
)


@dataclass(frozen=True)
class Budget:
    """How long to search.

    Attributes:
        trials: recipes in all.
        seconds: of searching; None: no limit.
    """

    trials: int = 20
    seconds: float | None = None


def search_recipes(
    workshop: Workshop, folder: Path, budget: Budget, sampler: Sampler = "nsga2", seed: int = 0
) -> list[Point]:
    """Try recipes by score, latency and size, and give all that were made, those of an earlier search too.

    Each trial is a folder below `points`. A trial that would not end within the budget, as long as the longest so far, is
    not begun; one that diverged is recorded as failed, and the search goes on.

    Args:
        workshop: makes folders of recipes.
        folder: holds the journal and the points.
        budget: how long.
        sampler: NSGA-II, or TPE.
        seed: of the sampler.

    Raises:
        ValueError: Optuna is not installed.
    """
    study = open_study(folder, workshop.metric, sampler, seed)
    shape = workshop.shape
    if not study.get_trials(deepcopy=False):
        for asked in FIRST:
            study.enqueue_trial(_params_of(asked, shape))
    points = read_points(folder)
    by_recipe = {point.recipe: point for point in points}
    with show_fits(budget.trials - _count_done(study)) as tell:
        _search(study, workshop, folder, budget, by_recipe, tell)
    return list(by_recipe.values())


def _search(
    study: "optuna.Study",
    workshop: Workshop,
    folder: Path,
    budget: Budget,
    by_recipe: dict[Recipe | None, Point],
    tell: "Callable[[str], None]",
) -> None:
    """Add to the points until the budget is used."""
    started, longest = time.monotonic(), 0.0
    while _count_done(study) < budget.trials:
        used = time.monotonic() - started
        if budget.seconds is not None and used + longest > budget.seconds:
            logger.info(
                f"time: {used:.0f} s of {budget.seconds:.0f} s used, the next recipe may not end in time"
            )
            break
        trial = study.ask()
        recipe = _suggest(trial, workshop.shape).filled(workshop.shape)
        began = time.monotonic()
        if recipe not in by_recipe:
            try:
                made = workshop.make(recipe, folder / "points" / recipe.name)
            except DivergenceError as error:
                logger.warning(f"{recipe.name}: {error}")
                study.tell(trial, state=_failed())
                continue
            by_recipe[recipe] = made
            longest = max(longest, time.monotonic() - began)
        point = by_recipe[recipe]
        study.tell(trial, [point.score, point.milliseconds, point.megabytes])
        tell(f"recipe {_count_done(study)} of at most {budget.trials} is done: {recipe.name}")


def open_study(folder: Path, metric: str, sampler: Sampler, seed: int) -> "optuna.Study":
    """The study in a folder, or a new one.

    Raises:
        ValueError: Optuna is not installed, or the study is damaged.
    """
    require_extra("hpo", "a search over recipes", "one recipe needs none of it, such as --layers 3")
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers: dict[str, Callable[[], Any]] = {
        "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=8, seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(FIRST)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    better: Direction = "maximize" if direction(metric) > 0 else "minimize"
    with readable_study(str(folder / JOURNAL)):
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
            sampler=look_up(samplers, sampler, "sampler")(),
            study_name=STUDY,
            directions=[better, "minimize", "minimize"],
            load_if_exists=True,
        )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a killed search
    return study


def read_points(folder: Path) -> list[Point]:
    """What an earlier search has made; what it left half-written is cleared away."""
    made = folder / "points"
    if not made.is_dir():
        return []
    sweep_folder(made, is_ours=True)
    return [Point.read(file.parent) for file in sorted(made.glob(f"*/{POINT}"))]


def _count_done(study: "optuna.Study") -> int:
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _suggest(trial: "optuna.Trial", shape: Shape) -> Recipe:
    bits = trial.suggest_categorical("bits", [0, 8])
    return Recipe(
        layers=trial.suggest_int("layers", 1, shape.layers),
        heads=trial.suggest_categorical("heads", _head_counts(shape)),
        neurons=trial.suggest_categorical("neurons", _widths(shape)),
        layer_choice=LAYER_CHOICES[
            trial.suggest_categorical("layer_choice", range(len(LAYER_CHOICES)))
        ],
        bits=bits or None,
    )


def _params_of(asked: dict[str, Any], shape: Shape) -> dict[str, Any]:
    return {
        **asked,
        "layers": max(1, round(asked["layers"] * shape.layers)),
        "heads": _nearest(asked["heads"] * shape.heads, _head_counts(shape)),
        "neurons": _nearest(asked["neurons"] * shape.neurons, _widths(shape)),
    }


def _head_counts(shape: Shape) -> list[int]:
    return sorted({max(1, round(part * shape.heads)) for part in PARTS})


def _widths(shape: Shape) -> list[int]:
    step = shape.width_step
    return sorted({max(step, round(part * shape.neurons / step) * step) for part in WIDTHS})


def _nearest(value: float, choices: list[int]) -> int:
    return min(choices, key=lambda choice: abs(choice - value))
