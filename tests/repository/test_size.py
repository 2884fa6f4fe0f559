"""The size budget: raising a number here needs a reason in the commit."""

import ast
from statistics import median

import pytest

from .files import PACKAGE_FILES, PYTHON_FILES, name_of

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60
MEDIAN_LINES_OF_THE_PACKAGE = 220


@pytest.mark.parametrize("file", PYTHON_FILES, ids=name_of)
def test_file_is_short(file):
    assert len(file.read_text().splitlines()) <= MOST_LINES_OF_A_FILE


def count_lines(function: ast.FunctionDef) -> int:
    """A function's own lines: not its docstring, nor the functions inside it, which are counted by themselves."""
    inner = [node for node in function.body if isinstance(node, ast.FunctionDef)]
    docstring = function.body[:1] if ast.get_docstring(function) else []
    return span(function) - sum(span(node) for node in (*docstring, *inner))


def span(node: ast.stmt) -> int:
    """Lines from the first to the last."""
    return (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("file", PYTHON_FILES, ids=name_of)
def test_functions_are_short(file):
    functions = [
        node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)
    ]
    too_long = {
        function.name: count_lines(function)
        for function in functions
        if count_lines(function) > MOST_LINES_OF_A_FUNCTION
    }
    assert too_long == {}


def test_the_package_is_small_files():
    assert (
        median(len(file.read_text().splitlines()) for file in PACKAGE_FILES)
        <= MEDIAN_LINES_OF_THE_PACKAGE
    )
