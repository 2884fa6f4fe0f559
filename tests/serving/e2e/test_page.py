"""The page in a headless browser: a row, a text and a table are asked about, by mouse and by keyboard."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.chromium import Page, find_chromium, open_browser
from tests.serving.saved import Server, ask, make_titanic, save_checkpoint, serve

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]
TABLE = make_titanic(25).drop("Survived")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(save_checkpoint(tmp_path_factory.mktemp("runs") / "titanic")) as started:
        yield started


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert CHROMIUM is not None
    with open_browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, server: Server) -> Iterator[Page]:
    browser.open(f"{server.address}/")
    browser.wait_for("document.querySelector('#field-0')")
    browser.errors.clear()
    yield browser
    # The browser itself notes every answer that is an error.
    assert [each for each in browser.errors if "status of 422" not in each] == []


def field(name: str) -> str:
    return f"#fields [name='{name}']"


def test_a_row_is_filled_in_and_answered(page: Page, server: Server, tmp_path: Path) -> None:
    row = TABLE.to_dicts()[4]
    for name, value in row.items():
        if name != "PassengerId":
            page.fill(field(name), value or "")
            if value is None:
                page.run(f"(document.querySelector(\"{field(name)}\").value = '')")
    page.click("#ask-row")
    page.wait_for("document.querySelector('#confidence')")
    (answer,) = ask(server, "/predict/rows", json={"rows": [row], "explain": True}).json()[
        "answers"
    ]
    shown = page.text("#result")
    assert f"Survived: {answer['answer']['Survived']}" in shown
    assert f"Confidence {100 * answer['confidence']:.1f} %" in shown
    assert answer["columns"][0]["column"] in shown
    page.take_picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_row_is_asked_with_the_keyboard_alone(page: Page) -> None:
    page.run(f'document.querySelector("{field("Age")}").focus()')
    page.press("Tab", 9)
    assert page.run("document.activeElement.name") == "SibSp"
    page.press("Enter", 13, "\r")
    page.wait_for("document.querySelector('#confidence')")


def test_fields_have_labels_and_answers_are_read_out(page: Page) -> None:
    unnamed = page.run(
        "[...document.querySelectorAll('input, textarea, select, progress')]"
        ".filter((each) => !each.labels?.length && !each.ariaLabel).map((each) => each.id)"
    )
    assert unnamed == []
    assert page.run("document.documentElement.lang") == "en"
    assert page.run("document.querySelector('#result').getAttribute('role')") == "status"
    assert page.run("document.querySelector('#error').getAttribute('role')") == "alert"


def test_a_pasted_row_fills_the_fields(page: Page) -> None:
    header, line = TABLE[6:7].write_csv().strip().splitlines()
    page.run("document.querySelector('details').open = true")
    page.run("document.querySelector('#paste').focus()")
    page.ask("Input.insertText", text=f"{header}\n{line}")
    page.click("#fill")
    page.wait_for(f"document.querySelector(\"{field('Ticket')}\").value === 'A/5 21006'")
    page.run("document.querySelector('#paste').value = '{\"Age\": 3}'")
    page.click("#fill")
    page.wait_for("document.querySelector('#error').textContent.includes('the row lacks Pclass')")


def test_a_text_is_answered(page: Page, server: Server) -> None:
    page.fill("#text", "first class")
    page.click("#ask-text")
    page.wait_for("document.querySelector('#confidence')")
    best = ask(server, "/predict", json={"inputs": "first class"}).json()[0]
    assert f"Confidence {100 * best['score']:.1f} %" in page.text("#result")


def test_a_table_comes_back_as_a_submission(page: Page, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    TABLE.write_csv(path)
    page.choose_file("#file", path)
    page.click("#ask-table")
    page.wait_for("!document.querySelector('#download').hidden")
    assert page.text("#table-state").startswith("25 rows answered.")
    assert page.run("document.querySelector('#progress').value") == 1
    page.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.click("#download")
    submission = tmp_path / "submission.csv"
    deadline = time.monotonic() + 20
    while not submission.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    content = submission.read_text()
    headers = {"content-type": "text/csv"}
    assert content == ask(server, "/predict/rows", content=path.read_bytes(), headers=headers).text


def test_a_fault_of_the_table_is_shown(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    TABLE.rename({"Age": "Agee"}).write_csv(path)
    page.choose_file("#file", path)
    page.click("#ask-table")
    page.wait_for("document.querySelector('#error').textContent.includes('Agee')")


def test_the_routes_are_shown_without_the_internet(browser: Page, server: Server) -> None:
    browser.open(f"{server.address}/docs")
    browser.wait_for("document.querySelector('.opblock')")
    loaded = browser.run("performance.getEntriesByType('resource').map(each => each.name)")
    assert loaded
    assert all(each.startswith(server.address) for each in loaded)
    assert "/predict/rows" in browser.text("#swagger-ui")
