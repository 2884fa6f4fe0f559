"""The map is true: the README's tree is the package, and every file says in one line what it is."""

import ast
import runpy

import pytest

from .files import PYTHON_FILES, ROOT, name_of

tree = runpy.run_path(str(ROOT / "scripts/tree.py"))


def test_readme_tree_is_the_package():
    drawn = tree["read_tree"]((ROOT / "README.md").read_text(encoding="utf-8"))
    assert drawn == tree["draw_tree"](), "run `just tree`"


@pytest.mark.parametrize("file", PYTHON_FILES, ids=name_of)
def test_first_line_says_what_the_file_is(file):
    first_line = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]
    assert first_line, "expected a docstring"
    assert file.read_text().startswith('"""'), "the docstring starts in the first line"


def test_folders_named_in_the_readme_exist():
    for folder in ("aliases", "configs", "docs", "native", "scripts", "src", "tests"):
        assert f"`{folder}/`" in (ROOT / "README.md").read_text(encoding="utf-8")
        assert (ROOT / folder).is_dir()
