"""Print what CHANGELOG.md says of a version, for its release; `--begin 0.2.0` makes what is unreleased that version, of today."""

import argparse
import re
import sys
from datetime import date
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
UNRELEASED = "## [Unreleased]"
VERSION = re.compile(r"\d+\.\d+\.\d+(?:rc\d+)?")
HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


def read_sections(text: str) -> dict[str, str]:
    """Version, or "Unreleased" → what is said of it, the newest first.

    Raises:
        ValueError: a heading that is no version with its day, a version twice, or versions out of order.
    """
    headings = list(HEADING.finditer(text))
    lines = [line for line in text.splitlines() if line.startswith("## ")]
    if len(headings) != len(lines):
        raise ValueError(
            f"CHANGELOG.md has a heading that is neither '## [Unreleased]' nor '## [1.2.3] - 2026-01-31', among {lines}"
        )
    ends = [each.start() for each in headings[1:]] + [len(text)]
    found = {
        each["name"]: text[each.end() : end].strip()
        for each, end in zip(headings, ends, strict=True)
    }
    _check(headings)
    return found


def _check(headings: list[re.Match[str]]) -> None:
    names = [each["name"] for each in headings]
    if names[:1] != ["Unreleased"]:
        raise ValueError(f"CHANGELOG.md begins with {names[:1]}, expected '{UNRELEASED}'")
    wrong = [
        each[0] for each in headings[1:] if not (VERSION.fullmatch(each["name"]) and each["day"])
    ]
    if wrong:
        raise ValueError(
            f"no versions with a day: {', '.join(wrong)}; write '## [1.2.3] - 2026-01-31'"
        )
    numbers = [_number(name) for name in names[1:]]
    if numbers != sorted(set(numbers), reverse=True):
        raise ValueError(f"versions are not the newest first, each once: {', '.join(names[1:])}")


def _number(name: str) -> tuple[float, ...]:
    """A candidate comes before its release."""
    plain, _, candidate = name.partition("rc")
    return (*map(int, plain.split(".")), float(candidate) if candidate else float("inf"))


def find_notes(text: str, version: str) -> str:
    """What is said of a version.

    Raises:
        ValueError: nothing is.
    """
    notes = read_sections(text).get(version)
    if not notes:
        raise ValueError(
            f"CHANGELOG.md says nothing of {version}; begin it: just changelog {version}, commit, and move the tag"
        )
    return notes


def begin_version(text: str, version: str, day: date) -> str:
    """The changelog in which what is unreleased is a version.

    Raises:
        ValueError: no version, one that is there, or nothing to release.
    """
    sections = read_sections(text)
    if not VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version; expected such as 0.2.0 or 0.2.0rc1")
    if version in sections:
        raise ValueError(f"{version} is in CHANGELOG.md already")
    if not sections["Unreleased"]:
        raise ValueError("nothing is unreleased; there is nothing to make a version of")
    made = text.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {day.isoformat()}", 1)
    read_sections(made)
    return made


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--begin", action="store_true", help="make what is unreleased this version")
    asked = parser.parse_args()
    text = CHANGELOG.read_text(encoding="utf-8")
    try:
        if asked.begin:
            CHANGELOG.write_text(begin_version(text, asked.version, date.today()), encoding="utf-8")
        else:
            print(find_notes(text, asked.version))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
