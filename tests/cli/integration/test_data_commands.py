"""bert data describe and preview on a small table."""

import json

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

ROWS = 40


@pytest.fixture
def table(tmp_path):
    lines = ["id,age,sex,note,label"]
    lines += [
        f"{i},{20 + i % 7},{['m', 'f'][i % 2]},some words that number {i} wrote here,{i % 3 % 2}"
        for i in range(ROWS)
    ]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "160"})


def test_describe_prints_kinds_and_examples(table):
    result = run("data", "describe", table)
    assert result.exit_code == 0
    assert f"{ROWS} rows, 5 columns" in result.stdout
    assert "free text: note" in result.stdout
    assert "age: 20, sex: m, note: some words that number 0 wrote here" in result.stdout


def test_describe_json_is_one_document(table):
    facts = json.loads(run("data", "describe", table, "--json").stdout)
    assert {fact["name"]: fact["kind"] for fact in facts["columns"]} == {
        "id": "number",
        "age": "number",
        "sex": "category",
        "note": "text",
        "label": "number",
    }


def test_preview_counts_the_tokens_that_it_shows(table):
    shown = json.loads(run("data", "preview", table, "--rows", 3, "--json").stdout)
    assert len(shown["rows"]) == 3
    for row in shown["rows"]:
        assert row["tokens"] == len(row["pieces"])
        assert (row["pieces"][0], row["pieces"][-1]) == ("[CLS]", "[SEP]")
    assert "[age=20]" in shown["rows"][0]["pieces"]
    assert shown["token_counts"]["rows"] == ROWS
    assert shown["token_counts"]["shortest"] <= shown["rows"][0]["tokens"]


def test_preview_takes_template_and_length(table):
    words = ("data", "preview", table, "--template", "sentence", "--max-length", 8)
    result = run(*words)
    assert result.exit_code == 0
    assert "The age is 20." in result.stdout
    assert json.loads(run(*words, "--json").stdout)["token_counts"]["at_max_length"] == ROWS


def test_unknown_columns_and_files_exit_with_2(table):
    result = run("data", "describe", table, "--target", "lable")
    assert result.exit_code == 2
    assert "did you mean 'label'" in result.stderr
    assert run("data", "preview", table.with_name("trian.csv")).exit_code == 2
