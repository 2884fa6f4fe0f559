"""No dead ends: every command, flag and setting that a message or help text names exists, and commands parse."""

import ast
import re
import shlex
from functools import cache

import typer

from bert_playground.cli.app import app
from bert_playground.config.flags import settings
from tests.repository.files import PACKAGE_FILES, name_of, parse

HOLE = "X"  # stands for what an f-string puts in
# "bert or modernbert" are architectures.
COMMAND = re.compile(
    r"\bbert (?!or\b|and\b)((?:model |data |kaggle |mlflow |runs )?[a-z]+)((?: (?:--[a-z-]+|[^\s`'\",;()…]+))*)"
)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
SETTING = re.compile(r"(?<![\w./-])([a-z]+\.[a-z]+(?:_[a-z]+)*)(?![\w(./-])")
# Of other programs, which messages name too.
FOREIGN_FLAGS = {"--force-reinstall", "--extra", "--backend-store-uri", "--write", "--version"}
FOREIGN_FLAGS |= {
    "--upgrade",
    "--no-index",
    "--find-links",
    "--only-binary",
    "--dir-mode",
    "--head",
}


@cache
def messages() -> list[tuple[str, str]]:
    """(file:line, text) of every string that is no docstring, holes of f-strings filled."""
    found = []
    for file in PACKAGE_FILES:
        silent = (
            set()
        )  # docstrings, and the parts of an f-string; a node is met before what is in it
        for node in ast.walk(parse(file)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                if ast.get_docstring(node, clean=False) is not None:
                    silent.add(id(node.body[0].value))
            elif isinstance(node, ast.JoinedStr):
                silent.update(id(part) for part in ast.walk(node) if part is not node)
            if id(node) in silent:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append((f"{name_of(file)}:{node.lineno}", node.value))
            elif isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else HOLE
                    for part in node.values
                )
                found.append((f"{name_of(file)}:{node.lineno}", text))
    return found


@cache
def commands() -> dict[str, object]:
    """Name → command, those of groups with the group's name before."""
    root = typer.main.get_command(app)
    found = {}
    for name, command in root.commands.items():
        found[name] = command
        for inner, nested in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = nested
    return found


def flags_of(command) -> set[str]:
    context = typer.Context(command)
    return {
        name
        for parameter in command.get_params(context)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def test_messages_are_found() -> None:
    assert len([text for _, text in messages() if COMMAND.search(text)]) > 20


def test_commands_that_are_advised_exist() -> None:
    wrong = [
        (where, match[0])
        for where, text in messages()
        for match in COMMAND.finditer(text)
        if match[1] not in commands() and match[1].split()[0] not in (HOLE, "run")
    ]
    assert wrong == []


def test_commands_that_are_advised_have_their_flags() -> None:
    wrong = []
    for where, text in messages():
        for match in COMMAND.finditer(text):
            command = commands().get(match[1])
            known = flags_of(command) if command is not None else set()
            wrong += [(where, flag) for flag in FLAG.findall(match[2]) if flag not in known]
    assert wrong == []


def test_flags_that_are_named_exist() -> None:
    known = set().union(*(flags_of(command) for command in commands().values())) | FOREIGN_FLAGS
    wrong = [
        (where, flag)
        for where, text in messages()
        for flag in FLAG.findall(text)
        if flag not in known and " " in text  # else it is a word for another program
    ]
    assert wrong == []


def test_settings_that_are_named_exist() -> None:
    sections = {path.split(".")[0] for path in settings()}
    wrong = [
        (where, path)
        for where, text in messages()
        for path in SETTING.findall(text)
        if path.split(".")[0] in sections and " " in text and path not in settings()
    ]
    allowed = {"config.json", "data.dataset", "model.safetensors", "model.safetensors.index"}
    assert [(where, path) for where, path in wrong if path not in allowed] == []


def test_commands_that_are_advised_parse() -> None:
    lines = {
        match[0].strip()
        for _, text in messages()
        for match in COMMAND.finditer(text)
        if match[2] and "|" not in match[2]
    }
    assert {line: fault for line in sorted(lines) if (fault := try_to_parse(line))} == {}


def try_to_parse(line: str) -> str:
    """What is wrong with a command's flags and their values; prose may follow them."""
    words = shlex.split(line)[1:]
    name = " ".join(words[:2]) if " ".join(words[:2]) in commands() else words[0]
    command = commands()[name]
    arguments = ["3" if word == HOLE else word for word in words[len(name.split()) :]]
    try:
        command.make_parser(typer.Context(command, resilient_parsing=True)).parse_args(arguments)
    except Exception as error:  # of click, which typer brings along
        return repr(error)
    return ""
