"""The recipe: more passes over small tables, lower rates for checkpoints."""

import pytest

from bert_playground.training.recipe import (
    Recipe,
    as_before_averaging,
    choose_pretraining_recipe,
    choose_recipe,
)


def recipe(num_rows: int, **changes: int) -> Recipe:
    kind = {"is_pretrained": False, "has_adapters": False, "is_classification": True, **changes}
    return choose_recipe(**kind, num_rows=num_rows, batch_size=32)


def test_small_tables_get_more_epochs() -> None:
    assert recipe(700).epochs > recipe(100_000).epochs >= 1


def test_numbers_are_learned_longer_than_classes() -> None:
    assert recipe(700, is_classification=False).epochs > recipe(700).epochs


def test_a_checkpoint_gets_a_lower_rate_and_fewer_epochs() -> None:
    assert recipe(700, is_pretrained=True).learning_rate < recipe(700).learning_rate / 5
    assert recipe(700, is_pretrained=True).epochs < recipe(700).epochs


def test_adapters_get_a_high_rate() -> None:
    adapted = recipe(700, is_pretrained=True, has_adapters=True)
    assert adapted.learning_rate > recipe(700, is_pretrained=True).learning_rate


def test_a_small_model_pretrained_here_gets_a_rate_between_scratch_and_checkpoint() -> None:
    own = recipe(700, is_pretrained=True, has_own_vocabulary=True)
    assert recipe(700, is_pretrained=True).learning_rate < own.learning_rate
    assert own.learning_rate < recipe(700).learning_rate
    assert own.epochs == recipe(700).epochs


def test_a_small_model_pretrained_here_takes_more_passes_over_few_rows() -> None:
    assert recipe(400, is_pretrained=True, has_own_vocabulary=True).epochs == 20
    assert recipe(400).epochs < 20


def test_pretraining_goes_over_small_tables_more_often_and_never_stops_early() -> None:
    def choose(num_rows: int, *, is_pretrained: bool = False) -> Recipe:
        return choose_pretraining_recipe(
            is_pretrained=is_pretrained, num_rows=num_rows, batch_size=32
        )

    assert choose(1000).epochs > choose(50_000).epochs >= 1
    assert choose(1000).patience == 0
    assert choose(1000, is_pretrained=True).learning_rate < choose(1000).learning_rate


def test_narrow_encoders_from_random_weights_get_a_higher_rate_and_averaged_weights() -> None:
    assert recipe(700, hidden_size=64).learning_rate == 2 * recipe(700).learning_rate
    assert recipe(700).ema_decay > 0
    assert recipe(700, is_pretrained=True).ema_decay == 0
    assert recipe(700, has_adapters=True).ema_decay == 0


@pytest.mark.parametrize(("num_rows", "epochs"), [(700, 8), (20_000, 3)])
def test_former_runs_go_on_by_the_recipe_of_their_time(num_rows: int, epochs: int) -> None:
    steps = {"is_classification": True, "steps_per_epoch": -(-num_rows // 32)}
    scratch = as_before_averaging(recipe(num_rows), is_pretrained=False, **steps)
    assert scratch == Recipe(5e-4, epochs, 4, 0.0)
    checkpoint = recipe(num_rows, is_pretrained=True)
    assert as_before_averaging(checkpoint, is_pretrained=True, **steps) == checkpoint
