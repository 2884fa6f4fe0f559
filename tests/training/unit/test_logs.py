"""The log: level from flag or environment, console on stderr, a file beside it."""

import time
from pathlib import Path

import pytest

from bert_playground import logs
from bert_playground.logger import logger
from bert_playground.logs import log_to_file, set_up_logs


@pytest.fixture(autouse=True)
def _quiet_afterwards():
    yield
    logger.remove()


def test_messages_go_to_stderr_and_not_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs()
    logger.info("rows {not} <formatted>")
    logger.warning("careful")
    logger.debug("hidden")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "rows {not} <formatted>\nWARNING: careful\n"


def test_the_environment_sets_the_level_and_a_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGURU_LEVEL", "debug")
    assert set_up_logs() == "DEBUG"
    assert set_up_logs("warning") == "WARNING"


def test_an_unknown_level_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'DEBUG'"):
        set_up_logs("DEBG")


def test_the_file_holds_details_whatever_the_console_shows(tmp_path: Path, capsys) -> None:
    set_up_logs("ERROR")
    with log_to_file(tmp_path / "train.log"):
        logger.debug("detail")
    logger.error("later")
    text = (tmp_path / "train.log").read_text()
    assert "DEBUG   detail" in text
    assert "later" not in text
    assert capsys.readouterr().err == "ERROR: later\n"


@pytest.mark.parametrize(("seconds", "told"), [(0.0, False), (0.08, True)])
def test_slow_work_is_told(monkeypatch: pytest.MonkeyPatch, seconds: float, told: bool) -> None:
    monkeypatch.setattr(logs, "PATIENCE_SECONDS", 0.02)
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    try:
        with logs.tell_if_slow("reading 9 columns"):
            time.sleep(seconds)
    finally:
        logger.remove(sink)
    assert bool(lines) is told
    assert all(line.startswith("reading 9 columns: ") for line in lines)
