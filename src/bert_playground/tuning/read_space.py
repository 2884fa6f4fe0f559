"""read_file, parse_space: a file of spaces, checked against the configuration's schema; all mistakes in one error."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bert_playground.config.load import SPELLINGS, explain_unknown, load_config, paths
from bert_playground.config.read import read_mapping
from bert_playground.config.schema import RunConfig
from bert_playground.data.templates.templates import TEMPLATES
from bert_playground.lookup import look_up, name_neighbours, nearest
from bert_playground.models.heads import HEADS
from bert_playground.models.lora.config import LORA_PRESETS
from bert_playground.tuning.space import Choice, Dimension, Range, Space, spell_choice

MAX_NUMBER = 2.0**53  # beyond it floats skip whole numbers
RANGE_KEYS = ("low", "high", "log", "step", "relative", "choices")
RELATIVE = ("optimizer.learning_rate", "training.epochs")  # what the recipe chooses
# Why a setting, or a section, cannot be tuned.
ROWS = "it decides which rows answer, or what they ask"
FILES = "it decides what is written, not what is learned"
FIXED = {
    **dict.fromkeys(("checkpoint", "tracking"), FILES),
    **dict.fromkeys(("cross_validation", "ensemble"), "a trial is one encoder, on one split or on folds"),
    **{
        f"data.{name}": ROWS
        for name in (
            "train", "val", "target", "id_column", "task", "class_order", "group_column", "time_column", "split", "folds",
            "fold", "horizon", "lags", "series_column", "registry", "val_fraction", "split_seed", "streaming",
        )
    },
    **{
        f"data.{name}": FILES
        for name in ("use_pretokenized", "cache_dir", "num_workers", "prefetch_size")
    },
    **{
        f"training.{name}": FILES
        for name in ("output_dir", "report", "callbacks", "callbacks_dir", "logging_steps", "eval_batch_size", "refit")
    },
    "training.seed": "the best of many seeds is luck",
    "training.metric": "trials are compared by one metric",
    "training.max_time": "what is tuned shall not depend on the load of the machine",
    "pretraining.tables": ROWS,
    "pretraining.has_target": ROWS,
}  # fmt: skip
# Settings that the schema takes as any text.
NAMES: dict[str, Mapping[str, Any]] = {
    "data.template": TEMPLATES,
    "head.type": HEADS,
    "lora.preset": LORA_PRESETS,
}
# Of an encoder from random weights alone.
SCRATCH_ONLY = tuple(
    f"model.{name}"
    for name in (
        "architecture", "hidden_size", "num_layers", "num_heads", "intermediate_size", "norm_type", "activation",
        "local_attention", "global_attn_every_n_layers", "pretrain", "vocab_size", "word_vectors",
    )
)  # fmt: skip


def read_file(file: Path) -> dict[str, Any]:
    """What a file of a space holds, not yet checked.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML or JSON.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"no file of a space {str(file)!r}{name_neighbours(file)}; leave --space out for the default one"
        )
    return read_mapping(file)


def parse_space(content: Mapping[str, Any], config: RunConfig, where: str) -> Space:
    """The space that a file describes.

    Args:
        content: `optimizer.learning_rate: {low: 1e-4, high: 2e-3, log: true}`, or a list of values; sections may also hold
            their settings as in a configuration.
        config: of all trials.
        where: what the file is called in errors.

    Raises:
        ValueError: unknown settings, impossible values or ranges, or settings that cannot be tuned; all are listed.
    """
    faults: list[str] = []
    dimensions: dict[str, Dimension] = {}
    for written, asked in _leaves(content):
        path = SPELLINGS.get(written, written)
        fault = _refuse_setting(path, config)
        found = None if fault else _parse_dimension(path, asked, faults)
        if fault:
            faults.append(f"{written}: {fault}")
        if path in dimensions:
            faults.append(f"{written}: stands twice")
        if found is not None:
            dimensions[path] = found
    if not dimensions and not faults:
        faults.append("no setting is named, expected such as model.dropout: {low: 0.0, high: 0.5}")
    if faults:
        raise ValueError(f"the space {where} has mistakes:\n  " + "\n  ".join(faults))
    return Space(dimensions)


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and what is asked of it; a section holds settings."""
    for key, value in content.items():
        path = f"{prefix}{key}"
        if path in RunConfig.model_fields and isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _refuse_setting(path: str, config: RunConfig) -> str | None:
    """Why a setting cannot be tuned; None: it can."""
    if path not in paths():
        return explain_unknown(path)
    reason = FIXED.get(path, FIXED.get(path.partition(".")[0]))
    if reason is not None:
        return f"cannot be tuned: {reason}"
    if config.model.pretrained is not None and path in SCRATCH_ONLY:
        return f"is for random weights, and the trials start from {config.model.pretrained}; leave it out"
    if config.model.pretrained is None and path.startswith("lora."):
        return "needs a checkpoint to adapt; name one with --model, or leave it out"
    return None


def _parse_dimension(path: str, asked: Any, faults: list[str]) -> Dimension | None:
    """Range or values of a setting; what is wrong is added to the faults."""
    if isinstance(asked, Mapping) and "choices" in asked and len(asked) == 1:
        asked = asked["choices"]
    if isinstance(asked, list):
        return _parse_choice(path, asked, faults)
    if not isinstance(asked, Mapping):
        faults.append(
            f"{path}: {asked!r} is one value, expected {{low: …, high: …}} or a list; to fix it: --set {path}={asked}"
        )
        return None
    before = len(faults)
    for key in asked:
        if key not in RANGE_KEYS:
            faults.append(
                f"{path}: unknown key {key!r}{nearest(str(key), RANGE_KEYS)} (known: {', '.join(RANGE_KEYS)})"
            )
    missing = [key for key in ("low", "high") if key not in asked]
    if missing and len(faults) == before:
        faults.append(
            f"{path}: lacks {' and '.join(missing)}, expected such as {{low: 1, high: 4}}"
        )
    return None if len(faults) > before else _parse_range(path, asked, faults)


def _parse_choice(path: str, values: list[Any], faults: list[str]) -> Choice | None:
    wrong = [fault for value in values if (fault := _refuse_value(path, value))]
    spelt = [spell_choice(value) for value in values]
    if len(values) < 2:
        wrong.append(f"{path}: a choice needs two values or more; to fix one: --set {path}=VALUE")
    elif len(set(spelt)) < len(spelt):
        wrong.append(f"{path}: {', '.join(spelt)} names a value twice")
    faults += wrong
    return None if wrong else Choice(tuple(values))


def _parse_range(path: str, asked: Mapping[str, Any], faults: list[str]) -> Range | None:
    low, high, step = asked["low"], asked["high"], asked.get("step")
    log, relative = asked.get("log", False), asked.get("relative", False)
    wrong = [
        f"{path}: {key} is {value!r}, expected a number of at most {MAX_NUMBER:g}"
        for key, value in {"low": low, "high": high, "step": step}.items()
        if not (_is_number(value) or (key == "step" and value is None))
    ]
    wrong += [
        f"{path}: {key} is {value!r}, expected true or false"
        for key, value in {"log": log, "relative": relative}.items()
        if not isinstance(value, bool)
    ]
    if relative and path not in RELATIVE:
        wrong.append(f"{path}: relative is for {' and '.join(RELATIVE)}, which a recipe chooses")
    if not wrong and not low < high:
        wrong.append(f"{path}: low {low:g} is not below high {high:g}")
    if not wrong and log and low <= 0:
        wrong.append(f"{path}: low is {low:g}, and log needs numbers above 0")
    if not wrong and step is not None and (step <= 0 or log or step > high - low):
        wrong.append(
            f"{path}: step is {step:g}, expected more than 0 and at most high - low, without log"
        )
    if not wrong and relative and low <= 0:
        wrong.append(f"{path}: low is {low:g}, and factors are above 0")
    if not wrong and not relative:
        wrong += [fault for value in (low, high) if (fault := _refuse_value(path, value))]
    faults += wrong
    if wrong:
        return None
    is_integer = not relative and isinstance(_read_value(path, high), int)
    return Range(low, high, log, step, is_integer=is_integer, relative=relative)


def _is_number(value: Any) -> bool:
    """Not NaN, nor infinite, nor beyond `MAX_NUMBER`."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -MAX_NUMBER <= value <= MAX_NUMBER


def _refuse_value(path: str, value: Any) -> str | None:
    """What the schema says against a value; None: nothing."""
    if value is None:
        return None
    if path in NAMES and value != "auto":
        try:
            look_up(NAMES[path], str(value), path)
        except ValueError as error:
            return str(error)
    try:
        load_config(_nest(path, value), environment={})
    except ValueError as error:
        said = str(error).partition("\n  ")[2].replace(" (dict)", "").replace("\n  ", "; ")
        return said or str(error)
    return None


def _read_value(path: str, value: Any) -> Any:
    section, key = path.split(".")
    config, _ = load_config(_nest(path, value), environment={})
    return getattr(getattr(config, section), key)


def _nest(path: str, value: Any) -> dict[str, dict[str, Any]]:
    section, key = path.split(".")
    return {section: {key: value}}
