"""Where the repository is, its Python files, and the names in them."""

import ast
import re
import tokenize
from functools import cache
from pathlib import Path
from token import NAME, STRING

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
    return ast.parse(file.read_text())


@cache
def names_in(file: Path) -> set[str]:
    """Every name in the code of a file and in its one-line strings; not in comments and docstrings."""
    with file.open("rb") as source:
        words = [word for word in tokenize.tokenize(source.readline) if word.type in (NAME, STRING)]
    return {
        name
        for word in words
        if not word.string.startswith('"""')
        for name in re.findall(r"\w+", word.string)
    }
