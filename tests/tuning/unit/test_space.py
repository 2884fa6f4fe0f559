"""Spaces: what a file may say, what is refused with the nearest names, and factors of the recipe."""

import json

import optuna
import pytest
import yaml

from bert_playground.config import load_config
from bert_playground.tuning.default_space import list_first_steps, make_default_space
from bert_playground.tuning.read_space import parse_space
from bert_playground.tuning.settings import (
    TableFacts,
    change_settings,
    configure_trial,
    list_defaults,
)
from bert_playground.tuning.space import Choice, Range

CONFIG, SOURCES = load_config({}, environment={})
FACTS = TableFacts("binary", 1000, has_text=False, has_own_vocabulary=True, is_pretrained=False)


def parse(**content):
    return parse_space(
        {name.replace("__", "."): asked for name, asked in content.items()}, CONFIG, "s.yaml"
    )


def refuse(**content):
    with pytest.raises(ValueError, match=r"the space s\.yaml has mistakes") as caught:
        parse(**content)
    return str(caught.value)


def test_ranges_and_choices_are_read_with_the_type_of_the_setting():
    space = parse(
        optimizer__learning_rate={"low": 1e-4, "high": 1e-2, "log": True},
        training__epochs={"low": 2, "high": 8},
        data__template=["auto", "cells"],
    )
    assert space.dimensions["optimizer.learning_rate"] == Range(1e-4, 1e-2, log=True)
    assert space.dimensions["training.epochs"] == Range(2, 8, is_integer=True)
    assert space.dimensions["data.template"] == Choice(("auto", "cells"))


def test_sections_may_hold_their_settings_and_other_spellings_are_known():
    space = parse(model={"max_length": [64, 128]}, training={"learning_rate": [1e-3, 2e-3]})
    assert sorted(space.dimensions) == ["data.max_length", "optimizer.learning_rate"]


def test_all_mistakes_are_named_at_once_with_the_nearest_names():
    said = refuse(
        optimizer__learning_rat={"low": 1e-4, "high": 1e-3},
        optimizer__layer_decay={"low": 0.5, "high": 1.5},
        model__dropout={"low": 0.5, "high": 0.1},
        training__epochs={"lo": 1, "high": 5},
        scheduler__type=["cosine", "linearr"],
        data__template=["auto", "key_vale"],
    )
    for part in (
        "did you mean 'optimizer.learning_rate'?",
        "optimizer.layer_decay = 1.5: should be less than or equal to 1",
        "low 0.5 is not below high 0.1",
        "unknown key 'lo'; did you mean 'low'?",
        "did you mean 'linear'?",
        "did you mean 'key_value'?",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("path", "asked", "part"),
    [
        ("training__seed", [1, 2], "the best of many seeds is luck"),
        ("data__target", ["a", "b"], "which rows answer"),
        ("checkpoint__keep_last", [1, 2], "what is written"),
        ("lora__r", [4, 8], "name one with --model"),
        ("model__dropout", 0.3, "--set model.dropout=0.3"),
        ("model__dropout", [0.3], "two values or more"),
        ("model__dropout", [0.3, 0.3], "twice"),
        ("model__dropout", {"low": 0.0, "high": 0.5, "log": True}, "above 0"),
        ("model__dropout", {"low": 0.0}, "lacks high"),
        ("model__dropout", {"low": "few", "high": 0.5}, "expected a number"),
        ("optimizer__learning_rate", {"low": 1e-5, "high": float("inf")}, "at most 9.0072e+15"),
        ("optimizer__learning_rate", {"low": float("nan"), "high": 1.0}, "low is nan"),
        ("training__epochs", {"low": 1, "high": 10**40}, "at most 9.0072e+15"),
        ("model__dropout", {"low": 0.1, "high": 0.5, "step": 1.0}, "at most high - low"),
        ("model__dropout", {"low": 0.5, "high": 2.0, "relative": True}, "which a recipe chooses"),
        ("training__epochs", {"low": 1.5, "high": 4}, "integer"),
    ],
)
def test_what_cannot_be_tuned_is_refused_with_a_reason(path, asked, part):
    assert part in refuse(**{path: asked})


def test_sizes_are_refused_beside_a_checkpoint():
    config, _ = load_config({"model": {"pretrained": "some/model"}}, environment={})
    with pytest.raises(ValueError, match="the trials start from some/model"):
        parse_space({"model.hidden_size": [32, 64]}, config, "s.yaml")


def test_a_trial_gets_values_of_the_space_and_lists_survive_the_storage():
    space = parse(
        data__numeric_features=[None, ["age", "fare"]], model__dropout={"low": 0.1, "high": 0.4}
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = [space.suggest(study.ask()) for _ in range(20)]
    assert {str(values["data.numeric_features"]) for values in seen} == {"None", "['age', 'fare']"}
    assert all(0.1 <= values["model.dropout"] <= 0.4 for values in seen)
    stored = study.get_trials()[0].params
    assert space.decode(stored) == seen[0]
    assert space.encode(seen[0]) == stored


def test_encode_has_none_for_what_the_space_does_not_hold():
    space = parse(model__dropout={"low": 0.1, "high": 0.4})
    assert space.encode({"model.dropout": 0.5}) is None
    assert space.encode({}) is None


def test_a_factor_is_of_the_recipe_of_the_trial_itself():
    space = make_default_space(CONFIG, SOURCES, FACTS)
    defaults = list_defaults(space, CONFIG, FACTS)
    for width, rate in ((64, 2e-3), (128, 2e-3 / 2**0.5)):  # the recipe is 5e-4 sqrt(256 / width)
        values = defaults | {"model.hidden_size": width, "optimizer.learning_rate": 2.0}
        made = configure_trial(CONFIG, space, values, FACTS)
        assert made.optimizer.learning_rate == pytest.approx(rate, rel=1e-3)
        assert made.model.hidden_size == width


def test_the_defaults_are_a_point_of_the_default_space():
    space = make_default_space(CONFIG, SOURCES, FACTS)
    values = list_defaults(space, CONFIG, FACTS)
    assert space.encode(values) is not None
    assert values["optimizer.learning_rate"] == 1.0
    made = configure_trial(CONFIG, space, values, FACTS)
    recipe = FACTS.choose_recipe(CONFIG)
    assert made.optimizer.learning_rate == pytest.approx(recipe.learning_rate)
    assert made.training.epochs == recipe.epochs


def test_from_a_checkpoint_the_shape_of_adapters_is_tuned_and_holds_that_of_the_preset(tmp_path):
    shape = {"model_type": "bert", "hidden_size": 32, "num_attention_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    config, sources = load_config({"model": {"pretrained": str(tmp_path)}}, environment={})
    space = make_default_space(config, sources, FACTS)
    values = list_defaults(space, config, FACTS)
    assert space.encode(values) is not None
    usual = {"lora.r": 8, "lora.alpha": 16.0, "lora.target_modules": ("query", "key", "value")}
    assert usual.items() <= values.items()
    again = parse_space(yaml.safe_load(yaml.safe_dump(space.to_dict())), config, "s.yaml")
    assert again.dimensions.keys() == space.dimensions.keys()


def test_the_first_steps_leave_the_defaults_in_one_setting():
    space = make_default_space(CONFIG, SOURCES, FACTS)
    defaults = space.encode(list_defaults(space, CONFIG, FACTS))
    steps = list_first_steps(space, list_defaults(space, CONFIG, FACTS))
    changed = [{path for path in defaults if each[path] != defaults[path]} for each in steps]
    assert changed == [{"optimizer.learning_rate"}] * 2 + [{"data.numeric_features"}]


def test_what_somebody_has_set_is_not_in_the_default_space():
    config, sources = load_config({"model": {"dropout": 0.2}}, environment={})
    assert "model.dropout" not in make_default_space(config, sources, FACTS).dimensions


def test_changed_settings_are_checked_and_leave_others_unasked():
    changed = change_settings(CONFIG, {"model.dropout": 0.2})
    assert changed.model.model_fields_set == {"dropout"}
    assert changed.training is CONFIG.training
    with pytest.raises(ValueError, match="less than 1"):
        change_settings(CONFIG, {"model.dropout": 2.0})
