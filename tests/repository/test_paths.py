"""Every file, folder and name that a document writes in backticks exists: in the package, or in the repository."""

import re

import pytest

from .files import PACKAGE, PACKAGE_FILES, ROOT, names_in

DOCUMENTS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/where-to-change.md")
# What runs and reports write, which a checkout does not have.
NOT_IN_A_CHECKOUT = ("output/", "tokenizer/", "htmlcov/")
# A path has a folder or an ending; one with a placeholder, such as `<area>/`, names no one file.
PATH = re.compile(r"`([\w./-]+/|[\w./-]+\.(?:py|md|yaml|toml|h|cpp|sh))`")
# A name in code: private, in capitals, in CamelCase or in snake_case.
NAME = re.compile(r"`(_\w+|[A-Z]{4,}|(?:[A-Z]\w*[a-z]){2,}|[a-z]+(?:_[a-z]+)+)`")


def text_of(document: str) -> str:
    """A document without its blocks of code."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_paths_exist(document: str) -> None:
    paths = [path for path in PATH.findall(text_of(document)) if path not in NOT_IN_A_CHECKOUT]
    missing = [path for path in paths if not any((at / path).exists() for at in (PACKAGE, ROOT))]
    assert paths
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_of_the_code_exist(document: str) -> None:
    known = set().union(*map(names_in, PACKAGE_FILES))
    modules = {path.stem for path in PACKAGE_FILES} | {path.parent.name for path in PACKAGE_FILES}
    named = set(NAME.findall(text_of(document)))
    assert named
    assert sorted(named - known - modules) == []
