"""Where the repository is, its Python files, and the names in them."""

import ast
import gc
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/bert_playground"
PACKAGE_FILES = sorted(PACKAGE.rglob("*.py"))
PYTHON_FILES = [
    *PACKAGE_FILES,
    *sorted((ROOT / "aliases").glob("*.py")),
    *sorted((ROOT / "scripts").glob("*.py")),
    *sorted((ROOT / "tests").rglob("*.py")),
    ROOT / "bert_cli.py",
]


def name_of(file: Path) -> str:
    """The path as test id."""
    return str(file.relative_to(ROOT))


@cache
def parse(file: Path) -> ast.Module:
    """The syntax tree of a file, which many tests look at and none changes."""
    tree = ast.parse(file.read_text())
    gc.freeze()  # millions of nodes stay: the garbage collector need not pass over them again and again
    return tree


@cache
def functions_in(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, those in classes and in functions too; expressions hold none and are not walked."""
    found = []
    waiting: list[ast.AST] = [parse(file)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, ())
            waiting += inner if isinstance(inner, list) else ()  # a lambda's body is no list
    return found


@cache
def names_in(file: Path) -> set[str]:
    """Every name in the code of a file and in its one-line strings; not in comments and docstrings."""
    words = []
    for node in ast.walk(parse(file)):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word):
                words.append(word)
            case ast.arg(arg=word) | ast.keyword(arg=str(word)):
                words.append(word)
            case (
                ast.FunctionDef(name=word)
                | ast.AsyncFunctionDef(name=word)
                | ast.ClassDef(name=word)
            ):
                words.append(word)
            case ast.Constant(value=str(text)) if "\n" not in text:
                words.append(text)
    return set(re.findall(r"\w+", " ".join(words)))
