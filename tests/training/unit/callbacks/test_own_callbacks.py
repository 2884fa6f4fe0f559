"""Callbacks of one's own by import path: found, made with arguments, and every mistake named."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bert_playground.config import load_config
from bert_playground.training.callbacks.own_callbacks import (
    check_own_callbacks,
    make_own_callbacks,
)

MODULE = """
from bert_playground.training.core import Callback

class StopAt(Callback):
    def __init__(self, value: float = 0.9) -> None:
        self.value = value

class Breaks(Callback):
    def __init__(self) -> None:
        raise OSError("no network")

def a_function(): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules, forgotten afterwards."""
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "fruit_callbacks.py").write_text(MODULE)
    (tmp_path / "needs_more.py").write_text("import surely_not_installed\n")
    (tmp_path / "half_written.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "json.py").write_text(MODULE)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_arguments_are_given(folder: Path) -> None:
    asked = ("fruit_callbacks:StopAt", {"fruit_callbacks:StopAt": {"value": 0.5}})
    check_own_callbacks(asked, folder)
    assert [callback.value for callback in make_own_callbacks(asked, folder)] == [0.9, 0.5]


def test_modules_of_the_working_directory_are_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(folder)
    other = tmp_path_factory.mktemp("other")
    assert len(make_own_callbacks(["fruit_callbacks:StopAt"], other)) == 1
    assert len(make_own_callbacks(["fruit_callbacks:StopAt"], None)) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("fruit_calbacks:StopAt", r"no module 'fruit_calbacks' in .*did you mean 'fruit_callbacks'"),
        ("fruit_callbacks:StopAtt", r"no 'StopAtt'; did you mean 'StopAt'\? \(its callbacks are StopAt, Breaks\)"),
        ("fruit_callbacks:a_function", "is a function, expected a subclass of bert_playground.training.core.Callback"),
        ("fruit_callbacks:Callback", "is a type, expected a subclass"),
        ("needs_more:X", r"needs_more cannot be imported: ModuleNotFoundError: .*surely_not_installed.*needs_more.py, line 1"),
        ("half_written:X", r"SyntaxError.*half_written.py, line 2"),
        ("json:StopAt", r"the name 'json' belongs to .* already; give .*json.py another name"),
        ({"fruit_callbacks:StopAt": {"valeu": 1}}, r"StopAt\(valeu=1\) fails: TypeError: .*valeu.*it takes \(value: float = 0.9\)"),
    ],
)  # fmt: skip
def test_mistakes_are_named_before_anything_is_made(
    folder: Path, asked: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_own_callbacks([asked], folder)


def test_a_constructor_that_fails_is_named(folder: Path) -> None:
    check_own_callbacks(["fruit_callbacks:Breaks"], folder)
    with pytest.raises(ValueError, match=r"Breaks\(\) fails: OSError: no network"):
        make_own_callbacks(["fruit_callbacks:Breaks"], folder)


@pytest.mark.parametrize(
    "text",
    [
        "callbacks: [a:A, {b.c:B: {patience: 3}}]",
        "callbacks:\n  - a:A\n  - b.c:B: {patience: 3}",
        "callbacks:\n  a:A:\n  b.c:B: {patience: 3}",
        "training:\n  callbacks:\n    a:A: {}\n    b.c:B: {patience: 3}",
    ],
)
def test_a_file_names_them_and_its_folder_is_kept(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text + "\n")
    config, sources = load_config(file, {})
    assert config.training.callbacks == ("a:A", {"b.c:B": {"patience": 3}})
    assert config.training.callbacks_dir == tmp_path.resolve()
    assert sources["training.callbacks"] == f"file {file}"
    again = type(config).model_validate(config.model_dump(mode="json"))
    assert again == config


def test_elsewhere_it_is_the_working_directory() -> None:
    config, _ = load_config(None, {}, assigned=["callbacks=[a:A]"])
    assert config.training.callbacks_dir == Path.cwd().resolve()
    assert load_config(None, {})[0].training.callbacks_dir is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("my_module", "expected a list, such as"),
        (["my_module"], "'my_module' is no import path, expected such as my_module:MyCallback"),
        ([{"a:A": {}, "b:B": {}}], "is no import path"),
        ([{"a:A": 3}], "the arguments of a:A are 3, expected such as {patience: 3}"),
    ],
)
def test_what_is_no_import_path_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_config({"callbacks": value}, {})
