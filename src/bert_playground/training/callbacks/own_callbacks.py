"""make_own_callbacks: a user's callbacks by import path, such as my_module:MyCallback, from beside the configuration file."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from bert_playground.lookup import nearest, shorten
from bert_playground.training.core.callback import Callback

Asked = Sequence[str | Mapping[str, Mapping[str, Any]]]


def make_own_callbacks(asked: Asked, folder: Path | None) -> list[Callback]:
    """The callbacks of the setting `training.callbacks`.

    Args:
        asked: import paths, or import path → arguments of the constructor.
        folder: where modules are looked for first; then in the working directory and among those installed.

    Raises:
        ValueError: there is no such module or class, it is no `Callback`, or its constructor fails.
    """
    return [_make(path, kind, options) for path, kind, options in _find_all(asked, folder)]


def check_own_callbacks(asked: Asked, folder: Path | None) -> None:
    """Import them and look at their arguments, before any table is read.

    Raises:
        ValueError: as for `make_own_callbacks`, but for a constructor that fails.
    """
    for path, kind, options in _find_all(asked, folder):
        try:
            inspect.signature(kind).bind(**options)
        except TypeError as error:
            raise ValueError(_constructor_fails(path, kind, options, error)) from error


def _find_all(
    asked: Asked, folder: Path | None
) -> Iterator[tuple[str, type[Callback], dict[str, Any]]]:
    folders = [Path.cwd()] if folder is None else [folder, Path.cwd()]
    for item in asked:
        named: Mapping[str, Mapping[str, Any]] = {item: {}} if isinstance(item, str) else item
        for path, options in named.items():
            yield path, _find_class(path, folders), dict(options)


def _make(path: str, kind: type[Callback], options: dict[str, Any]) -> Callback:
    try:
        return kind(**options)
    except Exception as error:  # of the user's own
        raise ValueError(_constructor_fails(path, kind, options, error)) from error


def _constructor_fails(
    path: str, kind: type[Callback], options: Mapping[str, Any], error: Exception
) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return (
        f"callback {path}: {kind.__name__}({given}) fails: {type(error).__name__}: {error}; it takes "
        f"{inspect.signature(kind)}"
    )


def _find_class(path: str, folders: Sequence[Path]) -> type[Callback]:
    module_name, _, name = path.partition(":")
    module = _import(path, module_name, folders)
    found = getattr(module, name, None)
    if found is None:
        known = [key for key, value in vars(module).items() if _is_callback(value)]
        there = f"its callbacks are {shorten(known)}" if known else "it has no callbacks"
        raise ValueError(
            f"callback {path}: {module.__file__} has no {name!r}{nearest(name, known)} ({there})"
        )
    if not _is_callback(found):
        raise ValueError(
            f"callback {path}: {name} of {module.__file__} is a {type(found).__name__}, expected a subclass of "
            "bert_playground.training.core.Callback"
        )
    kind: type[Callback] = found
    return kind


def _is_callback(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Callback) and value is not Callback


def _import(path: str, name: str, folders: Sequence[Path]) -> ModuleType:
    """Import a module; the folders stay on the path for what it imports later."""
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever the user's module does
        raise ValueError(_explain_import(path, name, folders, error)) from error
    root = name.partition(".")[0]
    spec = PathFinder.find_spec(root, [str(folder) for folder in folders])
    taken = sys.modules[root].__spec__
    if spec is not None and spec.origin and taken is not None and taken.origin != spec.origin:
        raise ValueError(
            f"callback {path}: the name {root!r} belongs to {taken.origin} already; give {spec.origin} another name"
        )
    return module


def _explain_import(path: str, name: str, folders: Sequence[Path], error: BaseException) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and (name == missing or name.startswith(f"{missing}.")):
        there = sorted({file.stem for folder in folders for file in folder.glob("*.py")})
        places = " nor in ".join(dict.fromkeys(map(str, folders)))
        return f"callback {path}: there is no module {name!r} in {places}{nearest(name, there)}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.filename}, line {last.lineno}"
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    return f"callback {path}: {name} cannot be imported: {type(error).__name__}: {error} ({where})"
