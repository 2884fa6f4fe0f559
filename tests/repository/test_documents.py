"""Documents run: every shell command in them exists, every Python block compiles and imports what is there."""

import ast
import importlib
import os
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from bert_playground.cli.app import app
from bert_playground.config import load_config

from .files import ROOT
from .site import build_site

DOCS = ROOT / "docs"

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Other programs that the documents call; what follows them is theirs.
PROGRAMS = {
    "curl",
    "pip",
    "git",
    "tail",
    "ls",
    "export",
    "cd",
    "mlflow",
    "uv",
    "ruff",
    "mypy",
    "lint-imports",
    "pre-commit",
}


def blocks(language: str) -> list[tuple[str, str]]:
    """(document:line, text) of each fenced block in this language."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append((f"{document.relative_to(ROOT)}:{line}", match[1]))
    return found


def commands() -> list[tuple[str, list[str]]]:
    """(document:line, words) of each command in a bash block, one per `&&` and continued lines joined."""
    return [
        (where, shlex.split(part, comments=True))
        for where, text in blocks("bash")
        for line in text.replace("\\\n", " ").splitlines()
        for part in re.split(r"&&|\|", line)
        if shlex.split(part, comments=True)
    ]


def strip(words: list[str]) -> list[str]:
    """The command itself, without redirections and what stands before it."""
    end = next((i for i, word in enumerate(words) if word in (">", "2>&1", "&")), None)
    words = words[:end]
    while words[0] == "nohup" or "=" in words[0]:  # NAME=value command
        words = words[1:]
    if words[:2] == ["uv", "run"]:
        words = words[4:] if words[2] in ("--extra", "--group") else words[2:]
    return ["bert", *words[2:]] if words[:2] == ["python", "bert_cli.py"] else words


def check(words: list[str]) -> None:
    """A command is ours and parses, or names a file or recipe that exists, or is another program's."""
    name, *arguments = strip(words)
    if name == "bert":
        check_ours(arguments)
    elif name == "pytest":
        assert [a for a in arguments if a.startswith("tests/") and not list(ROOT.glob(a))] == []
    elif name == "just":
        recipes = re.findall(r"^(\w+)[^:\n]*:", (ROOT / "justfile").read_text(), re.MULTILINE)
        assert set(arguments[:1]) <= set(recipes), f"no such recipe: {arguments}"
    elif "/" in name or name == "python":
        script = arguments[0] if name == "python" else name
        assert (ROOT / script).is_file(), f"{script} does not exist"
    else:
        assert name in PROGRAMS, f"unknown command: {' '.join(words)}"


@cache
def program() -> Any:
    """The command-line program, built once."""
    return typer.main.get_command(app)


def check_ours(arguments: list[str]) -> None:
    """The command line parses; nothing runs."""
    command, rest = program(), arguments
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    if hasattr(command, "commands"):
        assert all(word.startswith("-") for word in rest), f"no such command: {' '.join(arguments)}"
    else:
        command.make_context(f"bert {' '.join(arguments)}", rest)


@pytest.mark.parametrize(
    ("where", "words"), [pytest.param(w, c, id=f"{w} {' '.join(c[:6])}") for w, c in commands()]
)
def test_shell_command_exists(where, words):
    check(words)


@pytest.mark.parametrize(("where", "text"), [pytest.param(w, c, id=w) for w, c in blocks("yaml")])
def test_configuration_loads(where, text, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    load_config(tmp_path / "config.yaml", {})


def test_a_wrong_flag_in_a_document_would_be_noticed():
    with pytest.raises(Exception, match="No such option: --epochz"):
        check(["bert", "train", "--epochz", "3"])
    with pytest.raises(AssertionError, match="no such command: model inspekt"):
        check(["bert", "model", "inspekt"])


@pytest.mark.parametrize(("where", "code"), [pytest.param(w, c, id=w) for w, c in blocks("python")])
def test_python_block_compiles_and_imports_what_exists(where, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bert_playground"):
            module = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize(
    ("where", "code"),
    [pytest.param(w, c, id=w) for w, c in blocks("python") if w.startswith("README")],
)
def test_python_in_the_readme_runs(where, code, passengers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BERT_TRAINING__USE_COMPILATION", "no")
    monkeypatch.setenv("BERT_TRAINING__MAX_STEPS", "1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/titanic").symlink_to(passengers)
    exec(compile(code, where, "exec"), {})
    assert list(tmp_path.glob("output/run_*/checkpoints/best"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document):
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http://", "https://")):
            path = Path(os.path.normpath(document.parent / target))
            assert path.exists() or is_generated(path), f"{target} does not exist"


def is_generated(path: Path) -> bool:
    """Whether the documentation site writes this page from the program; the checkout does not have it."""
    folder = next((each for each in ("commands", "api") if path.is_relative_to(DOCS / each)), None)
    return folder is not None and path.relative_to(DOCS).as_posix() in generated_places()


@cache
def generated_places() -> set[str]:
    """The pages of commands and of the reference."""
    return set(build_site.generated_pages())
