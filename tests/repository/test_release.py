"""What a release is made of: versions of tags, a changelog in order, wheels for every supported Python."""

import re
import runpy
import tomllib
from datetime import date
from pathlib import Path

import pytest

from tests.repository.files import ROOT

notes = runpy.run_path(str(ROOT / "scripts/release_notes.py"))
begin_version, find_notes = notes["begin_version"], notes["find_notes"]
read_sections = notes["read_sections"]
TEXT = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.2.0] - 2026-12-01\n\n- two\n\n## [0.1.0] - 2026-11-01\n\n- one\n"


def read(path: Path) -> dict:
    return tomllib.loads(path.read_text())


def test_the_changelog_is_in_order(root: Path) -> None:
    assert read_sections((root / "CHANGELOG.md").read_text())["Unreleased"]


def test_notes_are_those_of_the_version() -> None:
    assert find_notes(TEXT, "0.2.0") == "- two"
    with pytest.raises(ValueError, match=r"just changelog 0\.3\.0"):
        find_notes(TEXT, "0.3.0")


def test_what_is_unreleased_becomes_a_version() -> None:
    made = begin_version(TEXT, "0.3.0rc1", date(2026, 12, 24))
    assert find_notes(made, "0.3.0rc1") == "- new"
    assert read_sections(made)["Unreleased"] == ""
    final = made.replace("## [Unreleased]", "## [Unreleased]\n\n## [0.3.0] - 2026-12-25\n\n- last")
    assert find_notes(final, "0.3.0") == "- last"


@pytest.mark.parametrize(
    ("version", "words"),
    [("0.2.0", "already"), ("v0.3", "no version"), ("0.1.5", "newest first")],
)
def test_versions_that_cannot_be_are_refused(version: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        begin_version(TEXT, version, date(2026, 12, 24))


@pytest.mark.parametrize(
    "wrong",
    [
        TEXT.replace("## [0.2.0] - 2026-12-01", "## 0.2.0"),
        TEXT.replace("## [0.2.0] - 2026-12-01", "## [0.2.0]"),
        TEXT.replace("[0.2.0]", "[0.1.0]"),
        TEXT.replace("## [Unreleased]\n", ""),
    ],
)
def test_a_changelog_out_of_order_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"CHANGELOG|versions"):
        read_sections(wrong)


def test_versions_are_those_of_tags(root: Path) -> None:
    package, kernels = read(root / "pyproject.toml"), read(root / "native/pyproject.toml")
    for project in (package["project"], kernels["project"]):
        assert "version" in project["dynamic"]
    assert package["tool"]["hatch"]["version"]["source"] == "vcs"
    fallback = package["tool"]["hatch"]["version"]["fallback-version"]
    assert kernels["tool"]["setuptools_scm"] == {"root": "..", "fallback_version": fallback}


def test_kernels_are_compiled_for_every_supported_python(root: Path) -> None:
    wheels = read(root / "native/pyproject.toml")["tool"]["cibuildwheel"]
    numbers = [11, 12, 13, 14]
    assert wheels["build"] == [f"cp3{number}-manylinux_x86_64" for number in numbers]
    image = (root / "native/manylinux/Dockerfile").read_text()
    assert re.search(r"for number in ([\d ]+);", image)[1].split() == list(map(str, numbers))
    assert wheels["manylinux-x86_64-image"] in (root / ".ci/release").read_text()


def test_the_workflow_and_the_recipe_run_one_script_which_does_not_publish(root: Path) -> None:
    assert "bash .ci/release" in (root / ".github/workflows/release.yml").read_text()
    assert "bash .ci/release" in (root / "justfile").read_text()
    lines = [line for line in (root / ".ci/release").read_text().splitlines() if "publish" in line]
    assert all(line.lstrip().startswith(("#", "echo")) for line in lines)
