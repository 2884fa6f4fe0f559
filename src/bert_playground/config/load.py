"""load_config: defaults < preset or file < environment < flags and --set, with the source of each value."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bert_playground.lookup import nearest

from .flags import settings
from .read import find_source, parse_value, read_mapping
from .schema import RunConfig, Section

ENVIRONMENT_PREFIX = "BERT_"
# What somebody typed for this run alone: a resumed run does not change it silently.
TYPED = ("flag", "--set")
# What people and other tools call a setting → where it lives.
SPELLINGS = {
    "model.max_length": "data.max_length",
    "model.num_hidden_layers": "model.num_layers",
    "model.num_attention_heads": "model.num_heads",
    "training.learning_rate": "optimizer.learning_rate",
    "use_compilation": "training.use_compilation",
    "callbacks": "training.callbacks",
}
# The same for a value that is a setting of its own.
VALUES = {("data.column_order", "shuffled"): ("augmentation.column_shuffle", 1.0)}


class Given(NamedTuple):
    """A value somebody asked for, and who."""

    value: object
    source: str


def load_config(
    source: str | Path | Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    assigned: Sequence[str] | None = None,
) -> tuple[RunConfig, dict[str, str]]:
    """Merge every place where a setting can be given; later places win.

    Args:
        source: name of a preset, path of a YAML or JSON file, or a dict with the keys of such a file.
        environment: variables such as BERT_TRAINING__EPOCHS=3; None: those of this process.
        flags: dotted path → value, only those the user gave.
        assigned: "section.key=value" of each --set; values are read as in a YAML file.

    Returns:
        The configuration, and for each dotted path where its value came from.

    Raises:
        ValueError: unknown keys or impossible values; all of them are listed.
        FileNotFoundError: there is no such file.
    """
    given: dict[str, Given] = {}
    offenders: list[str] = []
    environment = os.environ if environment is None else environment
    for path, item in _layers(source, environment, flags, assigned):
        if isinstance(item.value, str) and (path, item.value) in VALUES:
            path, value = VALUES[path, item.value]
            item = Given(value, item.source)
        if path not in paths():
            offenders.append(f"{path} ({item.source}): {explain_unknown(path)}")
        elif path in given and item.source == "--set" and _disagree(path, given[path], item):
            offenders.append(
                f"{_say(path, given[path])}, but = {item.value!r} (--set): leave one of them out"
            )
        else:
            given[path] = item
    _place_callbacks(given)
    try:
        config = RunConfig.model_validate(_nest(given))
    except ValidationError as error:
        offenders += _describe(error.errors(), given)
    if offenders:
        raise ValueError("the configuration has mistakes:\n  " + "\n  ".join(offenders))
    return config, {path: given[path].source if path in given else "default" for path in paths()}


def paths() -> dict[str, object]:
    """Every dotted path of RunConfig with its default."""
    sections: dict[str, Section] = dict(RunConfig())  # a pydantic model iterates as (name, value)
    return {
        f"{name}.{key}": default for name, section in sections.items() for key, default in section
    }


def _layers(
    source: str | Path | Mapping[str, Any] | None,
    environment: Mapping[str, str],
    flags: Mapping[str, object] | None,
    assigned: Sequence[str] | None,
) -> Iterator[tuple[str, Given]]:
    """Dotted path and value of every setting that was given, the weakest place first."""
    if isinstance(source, Mapping):
        for path, value in _flatten({str(key): value for key, value in source.items()}):
            yield SPELLINGS.get(path, path), Given(value, "dict")
    elif source is not None:
        file, label = find_source(source)
        for path, value in _flatten(read_mapping(file)):
            yield SPELLINGS.get(path, path), Given(value, label)
    for name, text in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name and text != "":
            path = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            yield SPELLINGS.get(path, path), Given(parse_value(text), f"environment {name}")
    for path, value in (flags or {}).items():
        yield path, Given(value, "flag")
    for text in assigned or ():
        path, equals, value = text.partition("=")
        if not equals:
            raise ValueError(
                f"--set {text}: expected section.key=value, such as --set training.epochs=3"
            )
        path = path.strip()
        yield SPELLINGS.get(path, path), Given(parse_value(value.strip()), "--set")


def _place_callbacks(given: dict[str, Given]) -> None:
    """Modules of callbacks lie beside the file that names them, wherever the run is resumed from."""
    asked = given.get("training.callbacks")
    if asked is None or "training.callbacks_dir" in given:
        return
    kind, _, path = asked.source.partition(" ")
    folder, source = (Path(path).parent, path) if kind == "file" else (Path(), "working directory")
    given["training.callbacks_dir"] = Given(folder.resolve(), source)


def _disagree(path: str, one: Given, other: Given) -> bool:
    """Whether two values that were typed for a setting are not the same setting."""
    if one.source not in TYPED:
        return False
    try:
        return RunConfig.model_validate(_nest({path: one})) != RunConfig.model_validate(
            _nest({path: other})
        )
    except ValidationError:
        return one.value != other.value


def _flatten(mapping: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in mapping.items():
        path = f"{prefix}{key}"
        is_setting = SPELLINGS.get(path, path) in paths()
        if isinstance(value, Mapping) and not is_setting:  # a few settings are mappings
            if not value and path not in RunConfig.model_fields:
                yield path, value
            yield from _flatten(value, f"{path}.")
        elif value is not None or path not in RunConfig.model_fields:  # "training:" asks nothing
            yield path, value


def _nest(given: Mapping[str, Given]) -> dict[str, dict[str, object]]:
    nested: dict[str, dict[str, object]] = {}
    for path, item in given.items():
        section, key = path.split(".")
        nested.setdefault(section, {})[key] = item.value
    return nested


def explain_unknown(path: str) -> str:
    """Why a dotted path is no setting, with the nearest one."""
    if path in RunConfig.model_fields:
        keys = [known.split(".")[1] for known in paths() if known.startswith(f"{path}.")]
        return f"is a section, expected keys under it such as {', '.join(keys[:3])}"
    leaves = {known.split(".")[1]: known for known in reversed(paths())}
    leaf = path.rpartition(".")[2]
    hint = f"; did you mean {leaves[leaf]!r}?" if leaf in leaves else nearest(path, paths())
    return "unknown key" + (hint or f"; the sections are {', '.join(RunConfig.model_fields)}")


def _describe(errors: Sequence[ErrorDetails], given: Mapping[str, Given]) -> list[str]:
    """One line for each setting; a setting of several types has an error for each of them."""
    messages: dict[str, list[str]] = {}
    for details in errors:
        path = ".".join(str(part) for part in details["loc"][:2])
        said = messages.setdefault(path, [])
        if (message := _explain(details, given[path])) not in said:
            said.append(message)
    return [f"{_say(path, given[path])}: {', or '.join(said)}" for path, said in messages.items()]


def _explain(details: ErrorDetails, item: Given) -> str:
    message, hint = details["msg"].removeprefix("Input "), ""
    if details["type"] == "literal_error":
        hint = nearest(str(item.value), re.findall(r"'([^']+)'", details["ctx"]["expected"]))
    elif details["type"] == "tuple_type":
        message = "should be a list, such as [Name, Ticket]"
    return message + hint


def _say(path: str, item: Given) -> str:
    """Setting, value and source; what was typed after a flag is text, and shown as the number that it means."""
    flag = settings()[path].flag if item.source == "flag" else None
    source = item.source if flag is None else f"flag {flag.names.split()[0]}"
    is_text = item.source == "flag" and isinstance(item.value, str)
    value = parse_value(str(item.value)) if is_text else item.value
    return f"{path} = {value!r} ({source})"
