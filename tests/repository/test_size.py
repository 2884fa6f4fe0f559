"""The size budget: raising a number here needs a reason in the commit."""

import ast
from pathlib import Path
from statistics import median

from .files import PACKAGE, PACKAGE_FILES, PYTHON_FILES, functions_in, name_of, parse

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_CLASS_FILE = 500
MOST_LINES_OF_A_FUNCTION = 60
MEDIAN_LINES_OF_THE_PACKAGE = 220
MOST_ARROWS_OF_DATA = 45


def is_one_class(file: Path) -> bool:
    """Whether a file is one class: it has no second one at its top level, and no function but private ones."""
    body = parse(file).body
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return len(classes) == 1 and all(name.startswith("_") for name in functions)


def count_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """A function's own lines: not its docstring, nor the functions inside it, which are counted by themselves."""
    inner = [
        node for node in function.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    docstring = function.body[:1] if ast.get_docstring(function) else []
    return span(function) - sum(span(node) for node in (*docstring, *inner))


def span(node: ast.stmt) -> int:
    """Lines from the first to the last."""
    return (node.end_lineno or 0) - node.lineno + 1


def test_files_are_short():
    """Cutting one class in two to please a number hides it, so such a file may be longer."""
    lengths = {file: len(file.read_text().splitlines()) for file in PYTHON_FILES}
    long = {file: length for file, length in lengths.items() if length > MOST_LINES_OF_A_FILE}
    too_long = {
        name_of(file): length
        for file, length in long.items()
        if length > MOST_LINES_OF_A_CLASS_FILE or not is_one_class(file)
    }
    assert too_long == {}


def test_functions_are_short():
    functions = [
        (f"{name_of(file)}:{node.lineno} {node.name}", count_lines(node))
        for file in PYTHON_FILES
        for node in functions_in(file)
    ]
    assert [item for item in functions if item[1] > MOST_LINES_OF_A_FUNCTION] == []


def test_the_package_is_small_files():
    lengths = [len(file.read_text().splitlines()) for file in PACKAGE_FILES]
    assert median(lengths) <= MEDIAN_LINES_OF_THE_PACKAGE


def test_rooms_of_data_know_few_others():
    """An arrow leads from a room, or file beside the rooms, to another one that it imports from."""
    data, prefix = PACKAGE / "data", "bert_playground.data."
    arrows = {
        (
            file.relative_to(data).with_suffix("").parts[0],
            node.module.removeprefix(prefix).split(".")[0],
        )
        for file in PACKAGE_FILES
        if data in file.parents and file != data / "__init__.py"
        for node in ast.walk(parse(file))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(prefix)
    }
    between = {(room, other) for room, other in arrows if room != other}
    assert 0 < len(between) <= MOST_ARROWS_OF_DATA, sorted(between)
