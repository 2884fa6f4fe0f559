"""What the shell offers: asked as a shell asks, by the words that were typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.cli.utils.completion import complete_columns, complete_settings, read_header
from bert_playground.config.read import presets


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("train.csv").write_text('\ufeffid,"Sale Price",Street\n1,2,3\n')
    Path("run.yaml").write_text("{}")
    Path("mine").mkdir()
    Path("mine/model.safetensors").touch()
    for name in ("run_1", "run_2"):
        (Path("output") / name / "checkpoints" / "best").mkdir(parents=True)
    return tmp_path


def offered(line: str) -> list[str]:
    """What bash gets for a line; the last word is the one that is begun."""
    words = line.split(" ")
    environment = {
        "_BERT_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(app, [], prog_name="bert", env=environment)
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bert qui", {"quickstart"}),
        ("bert model pu", {"push", "pull"}),
        ("bert train --skip", {"--skip-nonfinite"}),
        ("bert train --config ru", {"run.yaml"}),
        ("bert train --model m", {"modernbert", "mine"}),
        ("bert train --optimizer ad", {"adam", "adamw", "adafactor"}),
        ("bert predict --checkpoint output/run_1/", {"output/run_1/checkpoints/best"}),
        ("bert train --resume o", {"output/run_1", "output/run_2"}),
        ("bert runs show l", {"latest"}),
        ("bert runs show run_", {"run_1", "run_2"}),
        ("bert model push m", {"mine"}),
        ("bert train --train train.csv --target St", {"Street"}),
        ("bert data preview train.csv --target i", {"id"}),
        ("bert train --set optimizer.learning", {"optimizer.learning_rate="}),
        ("bert train --train tr", set()),
    ],
)
def test_a_shell_is_offered_what_fits(line: str, expected: set[str]) -> None:
    assert set(offered(line)) == expected


def test_all_presets_are_offered() -> None:
    assert set(presets()) <= set(offered("bert train --config "))


def test_values_of_a_setting_are_offered_behind_its_name() -> None:
    assert "data.split=time" in complete_settings("data.split=")
    assert complete_settings("training.use_compilation=") == [
        "training.use_compilation=true",
        "training.use_compilation=false",
    ]


def test_columns_are_quoted_and_those_of_the_training_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("val.csv").write_text("other\n1\n")
    monkeypatch.setenv("COMP_WORDS", "bert train --val val.csv --train train.csv --target ")
    assert complete_columns("") == ["id", "'Sale Price'", "Street"]
    monkeypatch.setenv("COMP_WORDS", "bert train --target 'not closed")
    assert complete_columns("") == []


def test_headers_of_other_files() -> None:
    Path("t.tsv").write_text("a\tb, c\n")
    Path("t.csv.gz").write_bytes(b"no gzip")
    assert read_header(Path("t.tsv")) == ["a", "b, c"]
    assert read_header(Path("t.csv.gz")) == []
