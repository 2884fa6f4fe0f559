"""Settings that cannot have their effect are named, with their source and what is used instead."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bert_playground.config import RunConfig, load_config
from bert_playground.logger import logger
from bert_playground.training.ignored_settings import (
    RunFacts,
    ignored_settings,
    log_ignored_settings,
    log_settings_of_folds,
    log_settings_of_several,
)

# 90 steps: 3 epochs of 30 batches.
FACTS = RunFacts("binary", num_rows=960, batches_per_epoch=30, epochs=3, is_compiled=True)
REGRESSION, PRETRAINING = replace(FACTS, task="regression"), replace(FACTS, task=None)
UNVALIDATED = replace(FACTS, has_validation=False)
LOADERS = replace(FACTS, has_rows=False, is_ready_made=True)
READY_MADE = replace(FACTS, is_ready_made=True)


def name_ignored(facts: RunFacts = FACTS, **asked: Any) -> dict[str, str]:
    flags = {name.replace("__", "."): value for name, value in asked.items()}
    config, sources = load_config(environment={}, flags=flags)
    said = ignored_settings(config, sources, facts)
    return {sentence.split()[2]: sentence for sentence in said}


def test_a_run_of_which_nothing_was_asked_names_nothing() -> None:
    for facts in (FACTS, REGRESSION, PRETRAINING, UNVALIDATED, LOADERS, READY_MADE):
        assert name_ignored(facts) == {}


@pytest.mark.parametrize(
    ("facts", "asked", "path", "instead"),
    [
        (replace(FACTS, is_compiled=False), {"training__use_compilation": True}, "", "runs uncompiled"),
        (FACTS, {"scheduler__warmup_steps": 500}, "", "has 90 steps, so 90 are used"),
        (FACTS, {"scheduler__warmup_ratio": 0.1, "scheduler__warmup_steps": 5}, "scheduler.warmup_ratio", "warmup_steps 5"),
        (FACTS, {"scheduler__type": "linear", "scheduler__warmup_steps": 90}, "scheduler.type", "all 90"),
        (FACTS, {"optimizer__momentum": 0.8}, "", "adamw has beta1, beta2, eps, weight_decay"),
        (FACTS, {"optimizer__type": "sgd", "optimizer__beta1": 0.8}, "optimizer.beta1", "sgd has momentum, nesterov, weight_decay"),
        (FACTS, {"optimizer__type": "muon", "lora__enabled": True}, "optimizer.type", "AdamW updates everything"),
        (FACTS, {"optimizer__layer_decay": 0.8, "training__freeze": "encoder"}, "optimizer.layer_decay", "the head alone"),
        (FACTS, {"scheduler__power": 3}, "", "the schedule cosine has no such setting"),
        (FACTS, {"scheduler__type": "constant", "scheduler__min_lr_ratio": 0.1}, "scheduler.min_lr_ratio", "never falls"),
        (FACTS, {"training__swa_start": 0.5, "training__ema_decay": 0.9}, "training.ema_decay", "averages the weights instead"),
        (FACTS, {"training__adversarial_epsilon": 0.1}, "", "training.adversarial is off"),
        (FACTS, {"training__r_drop": 0.5, "model__dropout": 0, "head__dropout": 0}, "training.r_drop", "both passes are one"),
        (FACTS, {"training__freeze": "embeddings", "lora__enabled": True}, "training.freeze", "frozen anyway"),
        (PRETRAINING, {"training__mixup": 0.4}, "", "this is pretraining"),
        (PRETRAINING, {"model__word_vectors": "cooccurrence"}, "", "this is its pretraining"),
        (READY_MADE, {"model__word_vectors": "cooccurrence"}, "", "made before"),
        (FACTS, {"model__word_vectors": "cooccurrence", "model__pretrained": "there"}, "model.word_vectors", "the checkpoint there"),
        (replace(FACTS, is_pretrained_first=True), {"model__word_vectors": "cooccurrence"}, "", "pretraining has learned them"),
        (FACTS, {"training__max_steps": 100}, "", "ends after 3 epochs, 90 steps"),
        (FACTS, {"training__epochs": 3, "training__max_steps": 10}, "training.epochs", "max_steps 10"),
        (FACTS, {"training__gradient_accumulation_steps": 64}, "", "30 batches"),
        (FACTS, {"training__batch_size": 1024}, "", "960 rows"),
        (FACTS, {"training__logging_steps": 100}, "", "90 steps"),
        (FACTS, {"training__early_stopping_patience": 3}, "", "3 epochs"),
        (FACTS, {"training__metric": "f1", "checkpoint__best_model_metric": "val_accuracy"}, "training.metric", "val_accuracy decides"),
        (UNVALIDATED, {"training__early_stopping_patience": 2}, "", "no validation rows"),
        (UNVALIDATED, {"checkpoint__best_model_metric": "val_loss"}, "", "no validation rows"),
        (FACTS, {"head__focal_gamma": 3}, "", "use_focal_loss is off"),
        (FACTS, {"head__huber_delta": 2}, "", "loss of the binary head"),
        (REGRESSION, {"head__huber_delta": 2}, "", "loss_type is mse"),
        (REGRESSION, {"head__label_smoothing": 0.1}, "", "regression head has no such part"),
        (REGRESSION, {"head__temperature_scaling": 2}, "", "no temperature"),
        (FACTS, {"head__use_cumulative_link": False}, "", "for ordinal heads"),
        (FACTS, {"head__use_temporal_features": True}, "", "for timeseries heads"),
        (FACTS, {"lora__r": 4}, "", "lora.enabled is off"),
        (FACTS, {"lora__enabled": True, "lora__group_size": 32}, "lora.group_size", "nothing is quantized"),
        (FACTS, {"ensemble__diversity_strategy": "heads"}, "", "one model"),
        (replace(FACTS, is_member=True), {"ensemble__diversity_strategy": "heads", "head__pooling": "max"}, "head.pooling", "pooling of its own"),
        (FACTS, {"model__pretrained": "there", "model__hidden_size": 64}, "model.hidden_size", "the checkpoint there"),
        (FACTS, {"data__val": "v.csv", "data__val_fraction": 0.1}, "data.val_fraction", "those of v.csv"),
        (FACTS, {"data__folds": "f.csv", "data__split": "grouped"}, "data.split", "fold 0 in f.csv"),
        (FACTS, {"data__fold": 1}, "", "no file of folds"),
        (FACTS, {"data__split": "time", "data__split_seed": 3}, "data.split_seed", "by time"),
        (FACTS, {"data__lags": 3}, "", "data.horizon is not given"),
        (FACTS, {"data__cache_dir": "c"}, "", "use_pretokenized is off"),
        (FACTS, {"data__text_pair": ["a", "b"], "data__kinds": {"a": "text"}}, "data.kinds", "the pair a and b"),
        (replace(FACTS, max_length=128), {"data__max_length": 256}, "", "128 is used"),
        (FACTS, {"checkpoint__save_best_only": True, "checkpoint__save_steps": 5}, "checkpoint.save_steps", "`best` alone"),
        (FACTS, {"checkpoint__save_best_only": True, "checkpoint__save_best_model": False}, "checkpoint.save_best_only", "nothing is kept"),
        (FACTS, {"checkpoint__enable_checkpointing": False, "checkpoint__keep_last": 5}, "checkpoint.keep_last", "enable_checkpointing is off"),
        (FACTS, {"checkpoint__save_steps": 100}, "", "90 steps"),
        (FACTS, {"tracking__experiment": "x"}, "", "tracking.mlflow is off"),
        (FACTS, {"pretraining__mask_probability": 0.2}, "", "bert pretrain"),
        (PRETRAINING, {"head__pooling": "mean"}, "", "masked words"),
        (PRETRAINING, {"data__val_fraction": 0.2}, "", "pretraining.val_fraction"),
        (PRETRAINING, {"ensemble__num_models": 3}, "", "one encoder"),
        (LOADERS, {"data__max_length": 64}, "", "come as loaders"),
        (LOADERS, {"training__batch_size": 64}, "", "the loaders have their own"),
        (LOADERS, {"augmentation__column_dropout": 0.1}, "", "come as loaders"),
        (READY_MADE, {"model__num_layers": 3}, "", "made before"),
        (READY_MADE, {"head__dropout": 0.3}, "", "made before"),
        (READY_MADE, {"lora__enabled": True}, "", "use_lora=True"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_named_with_what_holds_instead(
    facts: RunFacts, asked: dict[str, Any], path: str, instead: str
) -> None:
    path = path or next(iter(asked)).replace("__", ".")
    said = name_ignored(facts, **asked)
    assert list(said) == [path]
    assert said[path].startswith(f"no effect: {path} = ")
    assert "(flag); " in said[path]
    assert instead in said[path]


@pytest.mark.parametrize(
    ("facts", "asked"),
    [
        (FACTS, {"training__use_compilation": True}),
        (FACTS, {"training__use_compilation": False}),
        (FACTS, {"scheduler__warmup_steps": 20, "training__max_steps": 60}),
        (FACTS, {"head__use_focal_loss": True, "head__focal_gamma": 3, "head__label_smoothing": 0.1}),
        (FACTS, {"optimizer__type": "muon", "optimizer__momentum": 0.9, "optimizer__beta1": 0.8}),
        (FACTS, {"scheduler__type": "polynomial", "scheduler__power": 3, "scheduler__min_lr_ratio": 0.1}),
        (FACTS, {"training__r_drop": 0.5, "training__mixup": 0.4, "training__adversarial": "awp", "training__adversarial_epsilon": 0.1}),
        (FACTS, {"training__freeze": 1, "lora__enabled": True, "training__swa_start": 0.5}),
        (REGRESSION, {"head__loss_type": "huber", "head__huber_delta": 2}),
        (replace(FACTS, task="ordinal"), {"head__use_cumulative_link": False}),
        (FACTS, {"lora__enabled": True, "lora__preset": "qlora_memory", "lora__group_size": 32}),
        (FACTS, {"ensemble__num_models": 2, "ensemble__diversity_strategy": "heads"}),
        (FACTS, {"data__use_pretokenized": True, "data__cache_dir": "c"}),
        (FACTS, {"data__horizon": 2, "data__lags": 3}),
        (FACTS, {"training__metric": "accuracy", "checkpoint__best_model_metric": "val_accuracy"}),
        (READY_MADE, {"head__adaptive_threshold": True, "data__max_length": 64, "model__vocab_size": 99}),
        (PRETRAINING, {"pretraining__mask_probability": 0.2, "model__dropout": 0.2}),
    ],
)  # fmt: skip
def test_what_has_its_effect_is_not_named(facts: RunFacts, asked: dict[str, Any]) -> None:
    assert name_ignored(facts, **asked) == {}


def test_the_log_is_told_at_the_level_of_a_warning() -> None:
    flags = {"lora.r": 4}
    (said,) = listen(flags, lambda config, sources: log_ignored_settings(config, sources, FACTS))
    assert said.startswith("WARNING no effect: lora.r = 4 (flag)")


def test_a_single_model_has_nothing_to_fit_side_by_side() -> None:
    said = listen({"engine.name": "ray", "cross_validation.jobs": 2}, log_settings_of_several)
    assert {each.split()[3] for each in said} == {"engine.name", "cross_validation.jobs"}
    assert all("one model is trained" in each for each in said)


def test_a_single_model_has_no_folds_to_repeat_or_to_blend() -> None:
    asked = {"repeats": 2, "members": "linear", "time": "20m", "pseudo": 0.9, "blend": "mean"}
    flags = {f"cross_validation.{name}": value for name, value in asked.items()}
    for log in (log_settings_of_several, log_settings_of_folds):
        said = {each.split()[3]: each for each in listen(flags, log)}
        assert said.keys() == flags.keys()
        assert "--max-time limits a single one" in said["cross_validation.time"]
        assert "it is for models on folds (--folds N)" in said["cross_validation.members"]


def listen(flags: dict[str, Any], log: Callable[[RunConfig, dict[str, str]], None]) -> list[str]:
    """Level and message of what it says."""
    heard: list[str] = []
    sink = logger.add(heard.append, format="{level} {message}")
    log(*load_config(environment={}, flags=flags))
    logger.remove(sink)
    return heard
