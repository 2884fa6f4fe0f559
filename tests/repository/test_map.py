"""The map is true: docs/map.md is the package, and every file says in one line what it is, by names that exist."""

import re
import runpy
from pathlib import Path

from .files import PACKAGE_FILES, PYTHON_FILES, ROOT, name_of, names_in

tree = runpy.run_path(str(ROOT / "scripts/tree.py"))
# Words of a first line that are meant as names in the code: snake_case, but no file name, and CamelCase.
NAMES = re.compile(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b(?!\.)|\b(?:[A-Z][a-z]+){2,}\b")


def first_line(file: Path) -> str:
    """Of the docstring that the file begins with; empty without one."""
    begun = re.match(r'"""(.*?)(?:"""|\n)', file.read_text(encoding="utf-8"))
    return begun[1].strip() if begun else ""


def test_the_map_is_the_package():
    drawn = tree["read_tree"]((ROOT / "docs/map.md").read_text(encoding="utf-8"))
    assert drawn == tree["draw_tree"](), "run `just tree`"


def test_first_lines_say_what_the_files_are():
    silent = [name_of(file) for file in PYTHON_FILES if not first_line(file)]
    assert silent == [], "expected a docstring that starts in the first line"


def test_names_in_first_lines_exist():
    known = set().union(*map(names_in, PACKAGE_FILES))
    unknown = {
        name_of(file): sorted(set(NAMES.findall(first_line(file))) - known)
        for file in PACKAGE_FILES
    }
    assert {file: names for file, names in unknown.items() if names} == {}


def test_every_folder_stands_in_the_readme():
    """The folders of the repository, and all rooms of the package, in the short tree."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for folder in ("aliases", "configs", "docs", "native", "scripts", "src", "tests"):
        assert f"`{folder}/`" in text
        assert (ROOT / folder).is_dir()
    assert tree["read_tree"](text) == tree["draw_folders"](), "run `just tree`"
