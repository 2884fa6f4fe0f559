"""Build the documentation site into build/site/html: documents, a page per command, a reference; a warning is an error.

The documents are copied to build/site/pages with their links turned to where they stand in the site, pages that are
written from the program (`command_pages`) and from docstrings (`api_pages`) are put beside them, and Zensical draws
them by mkdocs.yml, where an entry such as `guides/*.md` stands for what is in that folder and is not named elsewhere.
"""

import fnmatch
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from api_pages import write_api_pages
from command_pages import write_command_pages

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build/site"
# Documents outside docs/, and where they stand in the site.
ELSEWHERE = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples.md",
}
LANDING = {"README.md": "index.md"}  # which docs/index.md takes the place of
LINK = re.compile(r"(!?)\[((?:[^\[\]`]|`[^`]*`)*)\]\(([^)\s]+)\)")


def generated_pages() -> dict[str, str]:
    """Place in the site → Markdown of every page that no document holds."""
    return write_command_pages() | write_api_pages()


def collect_pages() -> dict[str, str]:
    """Place in the site → Markdown of every page."""
    documents = {
        path.relative_to(ROOT / "docs").as_posix(): path for path in (ROOT / "docs").rglob("*.md")
    }
    documents |= {place: ROOT / name for name, place in ELSEWHERE.items()}
    pages = generated_pages()
    places = set(documents) | set(pages)
    for place, path in documents.items():
        source = path.relative_to(ROOT).as_posix()
        pages[place] = turn_links(path.read_text(encoding="utf-8"), source, place, places)
    return pages


def turn_links(text: str, source: str, place: str, places: set[str]) -> str:
    """Links of a document as they must be in the site.

    Args:
        text: Markdown.
        source: its path in the repository.
        place: its path in the site.
        places: all pages of the site. A link to a file of the repository that is none of them stays as its words.

    Raises:
        ValueError: a picture is not there.
    """

    def turn(link: re.Match[str]) -> str:
        mark, words, address = link.groups()
        target, sign, anchor = address.partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        found = find_place(path, places)
        if found is None and mark:
            raise ValueError(f"{source}: no picture {target}; draw it, or leave it out")
        if found is None:
            return words
        relative = posixpath.relpath(found, posixpath.dirname(place) or ".")
        return f"{mark}[{words}]({relative}{sign}{anchor})"

    fenced = re.split(r"(^```.*?^```)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(turn, part) for part in fenced)


def find_place(path: str, places: set[str]) -> str | None:
    """Where a file or folder of the repository stands in the site; None: nowhere."""
    inside = path.removeprefix("docs/")
    for candidate in ((ELSEWHERE | LANDING).get(path), inside, f"{inside}/README.md"):
        if candidate in places:
            return candidate
    is_picture = path.startswith("docs/") and (ROOT / path).is_file()
    return inside if is_picture else None


def fill_navigation(entries: list[Any], places: set[str]) -> list[Any]:
    """The navigation of mkdocs.yml with every pattern replaced by the pages that it stands for.

    Raises:
        ValueError: pages that no entry names, and entries that name no page.
    """
    named = {entry for entry in leaves(entries) if "*" not in entry}
    left, missing = places - named, sorted(named - places)

    def fill(entry: Any) -> list[Any]:
        if isinstance(entry, dict):
            return [
                {title: fill_all(below) if isinstance(below, list) else below}
                for title, below in entry.items()
            ]
        if "*" not in entry:
            return [entry]
        found = sorted(_fitting(entry, left))
        left.difference_update(found)
        return list(found)

    def fill_all(below: list[Any]) -> list[Any]:
        return [page for entry in below for page in fill(entry)]

    filled = fill_all(entries)
    if left or missing:
        raise ValueError(
            f"mkdocs.yml: pages without an entry {sorted(left)}, entries without a page {missing}"
        )
    return filled


def _fitting(pattern: str, places: set[str]) -> Iterator[str]:
    """Pages of that very folder."""
    folder = posixpath.dirname(pattern)
    for place in places:
        if posixpath.dirname(place) == folder and fnmatch.fnmatch(place, pattern):
            yield place


def leaves(entries: Any) -> Iterator[str]:
    """Every page and pattern of a navigation, in its order."""
    if isinstance(entries, str):
        yield entries
    else:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from leaves(entry)


def write_site(build: Path = BUILD) -> Path:
    """Lay out pages, pictures and configuration; gives the configuration's path."""
    shutil.rmtree(build, ignore_errors=True)
    pages = collect_pages()
    for place, text in pages.items():
        path = build / "pages" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for folder in ("images", "stylesheets"):
        shutil.copytree(ROOT / "docs" / folder, build / "pages" / folder)
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    config |= {"docs_dir": "pages", "site_dir": "html"}
    config["nav"] = fill_navigation(config["nav"], set(pages))
    (docstrings,) = (each["mkdocstrings"] for each in config["plugins"] if "mkdocstrings" in each)
    docstrings["handlers"]["python"]["paths"] = [str(ROOT / "src")]
    path = build / "mkdocs.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def main() -> int:
    """Build, or with `serve` show the pages on a local port; 1 where Zensical has a remark."""
    verb = ["serve"] if "serve" in sys.argv[1:] else ["build", "--strict"]
    config = write_site()
    program = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [program, *verb, "-f", config.name],
        cwd=config.parent,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    # Its remarks are coloured letter by letter, and where there are some it ends with a traceback of its own.
    sys.stderr.write(re.sub(r"\x1b\[[\d;]*m", "", done.stderr).partition("Traceback")[0])
    if done.returncode == 0 and verb[0] == "build":
        sys.stdout.write(f"{config.parent / 'html' / 'index.html'}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
