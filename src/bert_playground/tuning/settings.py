"""TableFacts, configure_trial, list_defaults: between values of a space and the configuration of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bert_playground.config.schema import RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared
from bert_playground.data.templates.features import has_free_text
from bert_playground.data.templates.row_text import SCRATCH_TOKENIZER
from bert_playground.models.architectures import look_at_checkpoint
from bert_playground.models.lora.config import LORA_PRESETS
from bert_playground.models.sizes import choose_dropout, choose_size
from bert_playground.tasks import TASKS
from bert_playground.training.create_optimizer import choose_rate
from bert_playground.training.pretrain_first import judge_gain
from bert_playground.training.recipe import Recipe, choose_recipe
from bert_playground.tuning.space import Range, Space

WARMUP = {"one_cycle": 0.3}  # of schedules whose own share of warm-up is not the usual one
USUAL_WARMUP = 0.06


@dataclass(frozen=True)
class TableFacts:
    """What the recipe goes by.

    Attributes:
        task: a name in TASKS.
        num_rows: that a trial is trained on.
        has_text: whether free text is among what is read.
        has_own_vocabulary: whether the tokenizer was trained on such a table.
        is_pretrained: whether trials start from other than random weights.
    """

    task: str
    num_rows: int
    has_text: bool
    has_own_vocabulary: bool
    is_pretrained: bool

    @classmethod
    def of(cls, prepared: Prepared, pipeline: TextPipeline, config: RunConfig) -> "TableFacts":
        """From the rows of a trial and how the configuration reads them."""
        return cls(
            pipeline.task,
            prepared.train.height,
            has_free_text(pipeline.features),
            pipeline.tokenizer_name == SCRATCH_TOKENIZER,
            config.model.pretrained is not None or _is_pretrained_first(prepared, config),
        )

    def choose_recipe(self, config: RunConfig) -> Recipe:
        """What training would choose for this configuration where it leaves something open."""
        training = config.training
        return choose_recipe(
            is_pretrained=self.is_pretrained,
            has_adapters=config.lora.enabled,
            is_classification=TASKS[self.task].is_classification,
            num_rows=round(self.num_rows * config.data.sample_fraction),
            batch_size=training.rows_per_batch * training.gradient_accumulation_steps,
            hidden_size=self.find_width(config),
            has_own_vocabulary=self.has_own_vocabulary,
        )

    def find_width(self, config: RunConfig) -> int:
        """Of the encoder."""
        if config.model.pretrained is not None:
            values = look_at_checkpoint(config.model.pretrained).values
            return int(values.get("hidden_size") or values.get("dim") or 768)
        return choose_size(config.model, self.num_rows, has_text=self.has_text)[0]


def _is_pretrained_first(prepared: Prepared, config: RunConfig) -> bool:
    asked = config.model.pretrain
    return asked == "on" or (asked == "auto" and judge_gain(prepared, config.training)[0])


def configure_trial(
    config: RunConfig, space: Space, values: Mapping[str, Any], facts: TableFacts
) -> RunConfig:
    """The configuration with the values of a trial; factors become what they mean of the recipe.

    Raises:
        ValueError: values that do not go together.
    """
    is_factor = {path for path in values if _is_relative(space, path)}
    changed = change_settings(
        config, {path: value for path, value in values.items() if path not in is_factor}
    )
    recipe = facts.choose_recipe(changed)
    chosen: dict[str, Any] = {}
    if "optimizer.learning_rate" in is_factor:
        unset = changed.optimizer.model_copy(update={"learning_rate": None})
        rate = choose_rate(unset, recipe) * values["optimizer.learning_rate"]
        chosen["optimizer.learning_rate"] = float(f"{rate:.4g}")
    if "training.epochs" in is_factor:
        chosen["training.epochs"] = max(1, round(recipe.epochs * values["training.epochs"]))
    return change_settings(changed, chosen)


def _is_relative(space: Space, path: str) -> bool:
    dimension = space.dimensions[path]
    return isinstance(dimension, Range) and dimension.relative


def change_settings(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The same with other values by dotted path, checked; what nobody asked for stays unasked."""
    sections: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        name, key = path.split(".")
        sections.setdefault(name, {})[key] = value
    made = {}
    for name, changes in sections.items():
        section = getattr(config, name)
        given = {key: getattr(section, key) for key in section.model_fields_set}
        made[name] = type(section).model_validate({**given, **changes})
    return config.model_copy(update=made)


def list_defaults(space: Space, config: RunConfig, facts: TableFacts) -> dict[str, Any]:
    """Path → the value, or factor, that stands for leaving the setting as it is, where that is known."""
    return place_config(space, config, config, facts)


def place_config(
    space: Space, given: RunConfig, config: RunConfig, facts: TableFacts
) -> dict[str, Any]:
    """Path → the value, or factor, that a run with another configuration had.

    Args:
        space: whose settings are looked at.
        given: the configuration of the run.
        config: of the trials, whose recipe factors refer to.
        facts: of the table.
    """
    found: dict[str, Any] = {}
    for path in space.dimensions:
        section, key = path.split(".")
        value = getattr(getattr(given, section), key)
        if _is_relative(space, path):
            found[path] = _find_factor(path, value, given, facts)
        elif space.dimensions[path].encode(value) is not None:
            found[path] = value
        elif value is None and (usual := _find_usual(path, config, facts)) is not None:
            found[path] = usual
    return found


def _find_factor(path: str, value: Any, given: RunConfig, facts: TableFacts) -> float:
    if value is None:
        return 1.0
    recipe = facts.choose_recipe(given)
    if path == "training.epochs":
        return float(value / recipe.epochs)
    unset = given.optimizer.model_copy(update={"learning_rate": None})
    return float(value / choose_rate(unset, recipe))


def _find_usual(path: str, config: RunConfig, facts: TableFacts) -> Any:
    """What a setting that is left open becomes; None: nobody knows before training."""
    section, key = path.split(".")
    if section == "lora":
        return getattr(LORA_PRESETS[config.lora.preset], key, None)
    recipe = facts.choose_recipe(config)
    is_scratch = config.model.pretrained is None
    usual = {
        "optimizer.learning_rate": choose_rate(config.optimizer, recipe),
        "training.epochs": recipe.epochs,
        "training.early_stopping_patience": recipe.patience,
        "training.ema_decay": recipe.ema_decay,
        "scheduler.warmup_ratio": WARMUP.get(config.scheduler.type, USUAL_WARMUP),
    }
    if is_scratch:
        width, layers = choose_size(config.model, facts.num_rows, has_text=facts.has_text)
        usual |= {"model.hidden_size": width, "model.num_layers": layers}
        dropout = choose_dropout(config.model, facts.num_rows, has_text=facts.has_text)
        usual |= {"model.dropout": dropout}
    return usual.get(path)
