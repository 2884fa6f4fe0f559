"""make_default_space: the settings that usually matter, around what the recipe chooses."""

from collections.abc import Mapping

from bert_playground.config.schema import RunConfig
from bert_playground.data.templates.row_text import PIPELINE
from bert_playground.models.hub_files import fetch_folder
from bert_playground.models.lora.config import ALL_LINEAR, ATTENTION
from bert_playground.models.sizes import choose_size
from bert_playground.tuning.settings import TableFacts
from bert_playground.tuning.space import Choice, Dimension, Range, Space

# Rates and epochs as factors of the recipe: a wider encoder wants a lower rate, an adapter a higher one.
TRAINING: dict[str, Dimension] = {
    "optimizer.learning_rate": Range(0.25, 4.0, log=True, relative=True),
    "optimizer.layer_decay": Range(0.6, 1.0),
    "scheduler.warmup_ratio": Range(0.0, 0.3),
    "training.epochs": Range(0.5, 2.0, log=True, relative=True),
}
ROWS: dict[str, Dimension] = {
    "data.template": Choice(("auto", "key_value", "natural")),
    "augmentation.column_dropout": Range(0.0, 0.3),
}
ADAPTERS: dict[str, Dimension] = {
    "lora.r": Choice((4, 8, 16, 32)),
    "lora.alpha": Range(4.0, 64.0, log=True),
    "lora.target_modules": Choice((("query", "value"), ATTENTION, ALL_LINEAR)),
}

# One setting away from the defaults, which a few trials try before what a sampler proposes that knows nothing yet.
FIRST_STEP = "one setting"  # origin of such a trial
STEPS: tuple[tuple[str, object], ...] = (
    ("optimizer.learning_rate", 2.0),
    ("optimizer.learning_rate", 0.5),
    ("lora.enabled", True),
    ("data.numeric_features", "off"),
)


def list_first_steps(space: Space, defaults: Mapping[str, object]) -> list[dict[str, object]]:
    """Parameters that differ from the defaults in one setting, as far as the space holds them.

    Args:
        space: of the trials.
        defaults: see `list_defaults`.
    """
    asked = [{**defaults, path: value} for path, value in STEPS if path in space.dimensions]
    return [found for each in asked if (found := space.encode(each)) is not None]


def make_default_space(config: RunConfig, sources: Mapping[str, str], facts: TableFacts) -> Space:
    """The space without a file; what somebody has set stays as it is.

    Args:
        config: of all trials.
        sources: for each dotted path where its value came from.
        facts: of the table.

    Raises:
        ValueError: everything in it is set.
    """
    more = _from_random_weights(config, facts) if config.model.pretrained is None else _of(config)
    dimensions = {**TRAINING, **more}
    open_ = {path: each for path, each in dimensions.items() if _is_open(sources.get(path))}
    if not open_:
        raise ValueError(f"nothing is left to tune, as {', '.join(dimensions)} are all set")
    return Space(open_)


def _is_open(source: str | None) -> bool:
    return source is None or source in ("default", "checkpoint")


def _from_random_weights(config: RunConfig, facts: TableFacts) -> dict[str, Dimension]:
    width, layers = choose_size(config.model, facts.num_rows, has_text=facts.has_text)
    return {
        "model.dropout": Range(0.0, 0.5),
        "model.hidden_size": Choice((width // 2, width, width * 2)),
        "model.num_layers": Range(1, layers + 2, is_integer=True),
        **ROWS,
        "data.numeric_features": Choice((None, "off")),
    }


def _of(config: RunConfig) -> dict[str, Dimension]:
    """From a checkpoint: its shape is given, that of an adapter is not."""
    assert config.model.pretrained is not None
    dimensions: dict[str, Dimension] = {"head.dropout": Range(0.0, 0.3), **ADAPTERS}
    if not config.lora.enabled:
        dimensions["lora.enabled"] = Choice((False, True))
    if (
        fetch_folder(config.model.pretrained) / PIPELINE
    ).exists():  # rows are read as it knows them
        return {**dimensions, "augmentation.column_dropout": ROWS["augmentation.column_dropout"]}
    return {**dimensions, **ROWS, "data.numeric_features": Choice((None, "auto"))}
