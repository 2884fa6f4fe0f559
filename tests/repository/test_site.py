"""The documentation site: every command and option has its place, every page is reached, every link leads to one."""

import ast
import posixpath
import re
import shlex
from typing import Any

import pytest
import yaml

from bert_playground.config.flags import settings
from tests.cli.commands import parameters_of

from .files import PACKAGE_FILES, ROOT, parse
from .site import api_pages, build_site, command_pages, make_gallery
from .test_documents import check

COMMANDS = [each for each in command_pages.iterate_commands() if not each.is_group]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """All pages, by their places."""
    return build_site.collect_pages()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.title)
def test_a_command_has_a_page_with_every_option(command: Any, pages: dict[str, str]) -> None:
    page = pages[command.page]
    assert page.startswith(f"# {command.title}\n")
    shown = [each for each in parameters_of(command.click) if not getattr(each, "hidden", False)]
    missing = [
        name
        for each in shown
        for name in (each.opts if each.param_type_name == "option" else [each.metavar])
        if not re.search(rf"`{re.escape(name)}[` ]", page)
    ]
    assert missing == []


def test_the_navigation_has_every_page_once(pages: dict[str, str]) -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    filled = list(build_site.leaves(build_site.fill_navigation(config["nav"], set(pages))))
    assert sorted(filled) == sorted(pages)


def test_a_page_that_no_entry_names_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"without an entry \['lost.md'\]"):
        build_site.fill_navigation([{"All": ["guides/*.md"]}], {"guides/a.md", "lost.md"})
    with pytest.raises(ValueError, match=r"without a page \['gone.md'\]"):
        build_site.fill_navigation(["gone.md", {"All": ["guides/*.md"]}], set())


def test_links_lead_to_pages(pages: dict[str, str]) -> None:
    lost = [
        (place, target)
        for place, text in pages.items()
        for _, _, target in build_site.LINK.findall(re.sub(r"```.*?```", "", text, flags=re.S))
        if "://" not in target and not target.startswith(("#", "mailto:"))
        for path in [
            posixpath.normpath(posixpath.join(posixpath.dirname(place), target.partition("#")[0]))
        ]
        if path not in pages and not (ROOT / "docs" / path).is_file()
    ]
    assert lost == []


@pytest.mark.parametrize(
    ("written", "turned"),
    [
        ("[a](../../ARCHITECTURE.md#map)", "[a](../architecture.md#map)"),
        ("![a](../images/titanic.png)", "![a](../images/titanic.png)"),
        ("[a](../decisions)", "[a](../decisions/README.md)"),
        ("[the `b` test](../../tests/conftest.py) here", "the `b` test here"),
        ("[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
        ("```text\n[a](../../x.py)\n```", "```text\n[a](../../x.py)\n```"),
    ],
)
def test_links_of_a_guide_are_turned(written: str, turned: str) -> None:
    places = {"architecture.md", "decisions/README.md", "guides/a.md"}
    assert build_site.turn_links(written, "docs/guides/a.md", "guides/a.md", places) == turned


def test_a_lost_picture_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"docs/a.md: no picture images/lost.svg"):
        build_site.turn_links("![a](images/lost.svg)", "docs/a.md", "a.md", {"a.md"})


def test_the_reference_names_what_the_package_exports(pages: dict[str, str]) -> None:
    assert "::: bert_playground.estimators.BertClassifier" in pages["api/estimators.md"]
    assert "::: bert_playground.ensemble_predictor.load_predictor" in pages["api/prediction.md"]
    empty = [
        module
        for _, modules in api_pages.PAGES.values()
        for module in modules
        if not api_pages.public_names(module)
    ]
    assert empty == []


def table_cells(page: str, column: int) -> list[str]:
    """What stands in backticks in a column of the tables of a page, headings left out."""
    rows = re.findall(r"^\|(.+)\|$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M)
    cells = [row.replace("\\|", "/").split("|")[column:] for row in rows]
    return [code for found in cells if found for code in re.findall(r"`([^`]+)`", found[0])]


def texts_of_the_package() -> list[str]:
    """Every string in the code, with `…` where a value is put in."""
    return [
        "".join(
            part.value if isinstance(part, ast.Constant) else "…"
            for part in (node.values if isinstance(node, ast.JoinedStr) else [node])
        )
        for file in (*PACKAGE_FILES, ROOT / "native/src/bert_playground_kernels/_load.py")
        for node in ast.walk(parse(file))
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]


def test_messages_in_the_recipes_are_those_of_the_package() -> None:
    """A recipe for a message that nobody says any more would help nobody."""
    said = "\n".join(texts_of_the_package())
    messages = [text for text in table_cells("troubleshooting.md", 0) if " " in text]
    assert len(messages) > 30
    unsaid = [
        message
        for message in messages
        if not re.search(".*".join(map(re.escape, re.split(r"\s*…\s*", message))), said)
    ]
    assert unsaid == []


def test_settings_and_flags_beside_those_of_other_libraries_exist() -> None:
    codes = [code for column in (1, 2) for code in table_cells("coming_from.md", column)]
    keys = {code for code in codes if re.fullmatch(r"[a-z_]+\.[a-z_]+", code)}
    files = {"oof.parquet"}
    assert len(keys) > 20
    assert keys - set(settings()) - files == set()
    flags = {flag for code in codes for flag in re.findall(r"--[a-z-]+", code)}
    known = {
        name for command in COMMANDS for each in parameters_of(command.click) for name in each.opts
    }
    assert len(flags) > 20
    assert flags - known == set()


def test_the_gallery_shows_every_picture_of_a_command_that_exists() -> None:
    """Each is drawn from a command that parses; `python scripts/make_gallery.py NAME` draws one anew."""
    shown = set(re.findall(r"images/commands/(\w+)\.svg", (ROOT / "docs/gallery.md").read_text()))
    drawn = {path.stem for path in (ROOT / "docs/images/commands").glob("*.svg")}
    kept = {scene.name for scene in make_gallery.SCENES} - make_gallery.NOT_KEPT
    assert shown == drawn
    assert drawn <= kept
    for scene in make_gallery.SCENES:
        check(shlex.split(scene.typed))
    large = [
        path for path in (ROOT / "docs/images/commands").iterdir() if path.stat().st_size > 60_000
    ]
    assert large == []


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("a\r\nb\r\n", ["a", "b"]),
        ("10 %\r\x1b[2K20 %\r\x1b[2Kdone\n", ["done"]),
        ("bar\n\x1b[1A\x1b[2Kgone\n", ["gone"]),
        ("\x1b[?25l\x1b[1mbold\x1b[0m\n\x1b[?25h", ["\x1b[1mbold\x1b[0m"]),
        ("10 %\rok", ["ok"]),
    ],
)
def test_what_was_erased_is_not_drawn(written: str, left: list[str]) -> None:
    assert make_gallery.lines_left(written) == left


def test_the_site_asks_nobody_else() -> None:
    """No font, script or style of another host."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert not {"extra_javascript", "repo_url"} & set(config)
    for style in (ROOT / "docs/stylesheets").glob("*.css"):
        assert not re.search(r"https?:|@import", style.read_text(encoding="utf-8"))
    for picture in (ROOT / "docs/images").rglob("*.svg"):
        assert "@font-face" not in picture.read_text(encoding="utf-8")
