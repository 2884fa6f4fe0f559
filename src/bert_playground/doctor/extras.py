"""check_packages, check_extras: what is installed of what the distribution asks for, by its own metadata."""

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

from bert_playground.extras import install_command
from bert_playground.finding import BAD, GOOD, NOTE, Finding

DISTRIBUTION = "bert-playground"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")
OTHERWISE = ("cpu", "cuda13", "native")  # which MLX, and which kernels: checks of their own
PURPOSE = {
    "boost": "LightGBM and CatBoost beside the encoder",
    "hpo": "bert tune, and the search of bert compress",
    "kaggle": "bert kaggle",
    "mlflow": "--mlflow and bert mlflow",
    "onnx": "bert model export --format onnx",
    "ray": "--engine ray",
    "serve": "bert serve",
}


class Requirement(NamedTuple):
    """A package that is asked for, and the extra that asks; None: always."""

    package: str
    extra: str | None


def read_requirements() -> tuple[Requirement, ...]:
    """What the installed distribution asks for; () where none is installed."""
    try:
        asked = requires(DISTRIBUTION) or ()
    except PackageNotFoundError:
        return ()
    return tuple(_read(line) for line in asked)


def _read(line: str) -> Requirement:
    name, extra = NAME.match(line), EXTRA.search(line)
    assert name is not None
    return Requirement(name.group(), extra.group(1) if extra else None)


def installed_version(package: str) -> str | None:
    """None: not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_packages() -> Iterator[Finding]:
    """The packages that everything needs; MLX is a check of its own."""
    requirements = read_requirements()
    if not requirements:
        yield Finding(
            "packages",
            NOTE,
            f"{DISTRIBUTION} is not installed, only found by its path",
            "uv sync",
        )
        return
    always = [each.package for each in requirements if each.extra is None and each.package != "mlx"]
    missing = [name for name in always if installed_version(name) is None]
    own = f"{DISTRIBUTION} {installed_version(DISTRIBUTION)}"
    if missing:
        yield Finding("packages", BAD, f"{own}; missing: {', '.join(missing)}", "uv sync")
    else:
        yield Finding("packages", GOOD, f"{own} and the {len(always)} packages that it needs")


def check_extras(requirements: Sequence[Requirement] | None = None) -> Iterator[Finding]:
    """Each extra with the versions of its packages."""
    if requirements is None:
        requirements = read_requirements()
    names = [each.extra for each in requirements if each.extra and each.extra not in OTHERWISE]
    for extra in dict.fromkeys(names):
        packages = [each.package for each in requirements if each.extra == extra]
        found = {name: installed_version(name) for name in packages}
        there = ", ".join(f"{name} {number}" for name, number in found.items() if number)
        missing = [name for name, number in found.items() if number is None]
        if not missing:
            yield Finding(f"extra {extra}", GOOD, there)
            continue
        yield Finding(
            f"extra {extra}",
            NOTE,
            f"missing: {', '.join(missing)}{f' (there: {there})' if there else ''}",
            f"for {PURPOSE.get(extra, extra)}: {install_command(extra)}",
        )


def needed_versions() -> dict[str, str]:
    """What the distribution and its extras ask for, and what that needs in turn, where installed; others may be private."""
    found: dict[str, str] = {}
    left = [DISTRIBUTION]
    while left:
        name = left.pop().lower().replace("_", "-")
        number = installed_version(name)
        if number is not None and name not in found:
            found[name] = number
            asked = map(_read, requires(name) or ())
            left += [each.package for each in asked if not each.extra or name == DISTRIBUTION]
    return dict(sorted(found.items()))
