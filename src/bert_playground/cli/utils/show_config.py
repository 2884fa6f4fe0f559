"""print_config: every setting with its value, what an open one will be, and where it came from."""

from itertools import product
from typing import TYPE_CHECKING

from .console import print_json, print_table

if TYPE_CHECKING:
    from bert_playground.config import RunConfig

# A recipe decides by the rows, the task and the checkpoint's vocabulary, which a configuration does not know.
FEWEST_ROWS, MOST_ROWS = 1, 10**9


def print_config(
    config: "RunConfig", sources: dict[str, str], *, as_json: bool, is_pretraining: bool = False
) -> None:
    """Print every setting; JSON has `meaning` where the value is null."""
    from bert_playground.config.flags import settings

    recipe = list_recipe(config, is_pretraining=is_pretraining)
    rows, document = [], {}
    for path, setting in settings().items():
        section, key = path.split(".")
        value = getattr(config, section).model_dump(mode="json")[key]
        document[path] = {"value": value, "source": sources[path]}
        if value is None:
            meaning = document[path]["meaning"] = recipe.get(path, setting.unset)
        rows.append((path, meaning if value is None else _spell(value), sources[path]))
    if as_json:
        print_json(document)
    else:
        print_table("configuration", ("setting", "value", "from"), rows)


def list_recipe(config: "RunConfig", *, is_pretraining: bool) -> dict[str, str]:
    """What the recipe will choose for the settings it decides: a value, or the values that it chooses among."""
    from bert_playground.models.sizes import choose_size
    from bert_playground.training.recipe import choose_pretraining_recipe, choose_recipe

    training, is_pretrained = config.training, config.model.pretrained is not None
    batch_size = training.batch_size * training.gradient_accumulation_steps
    recipes = [
        choose_pretraining_recipe(
            is_pretrained=is_pretrained, num_rows=num_rows, batch_size=batch_size
        )
        if is_pretraining
        else choose_recipe(
            is_pretrained=is_pretrained,
            has_adapters=config.lora.enabled,
            is_classification=is_classification,
            num_rows=num_rows,
            batch_size=batch_size,
            hidden_size=choose_size(config.model, num_rows)[0],
            has_own_vocabulary=has_own_vocabulary,
        )
        for num_rows, is_classification, has_own_vocabulary in product(
            (FEWEST_ROWS, MOST_ROWS), _is_classification(config), {False, is_pretrained}
        )
    ]
    rates = sorted({recipe.learning_rate for recipe in recipes})
    patience = sorted({recipe.patience for recipe in recipes})
    epochs = sorted({recipe.epochs for recipe in recipes})
    decays = sorted({recipe.ema_decay for recipe in recipes})
    return {
        "optimizer.learning_rate": f"by recipe: {' or '.join(f'{rate:g}' for rate in rates)}",
        "training.early_stopping_patience": f"by recipe: {' or '.join(map(str, patience))}",
        "training.ema_decay": f"by recipe: {' or '.join(f'{decay:g}' for decay in decays)}",
        "training.epochs": f"by recipe: {epochs[0]} to {epochs[-1]}, by the number of rows",
    }


def _is_classification(config: "RunConfig") -> tuple[bool, ...]:
    from bert_playground.tasks import TASKS

    task = config.data.task
    return (True, False) if task is None else (TASKS[task].is_classification,)


def _spell(value: object) -> str:
    """As YAML would spell it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
