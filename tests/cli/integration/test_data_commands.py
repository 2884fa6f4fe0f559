"""bert data describe and preview on a small table."""

import json
import random

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


@pytest.mark.medium
def test_compare_names_what_differs(table, tmp_path):
    other = tmp_path / "test.csv"
    other.write_text(table.read_text().replace(",m,", ",x,").replace(",f,", ",F,"))
    found = json.loads(run("data", "compare", table, other, "--json").stdout)
    assert [(each["column"], each["what"]) for each in found["drift"]] == [
        ("sex", "unseen"),
        ("sex", "respelled"),
    ]
    assert found["roc_auc"] > 0.6
    assert next(iter(found["columns"])) == "sex"
    assert "by column, alone" in run("data", "compare", table, other).stdout
    assert run("data", "compare", table, other, "--strict").exit_code == 2
    assert run("data", "compare", table, table, "--strict").exit_code == 0


def test_preview_counts_the_tokens_that_it_shows(table):
    shown = json.loads(run("data", "preview", table, "--rows", 3, "--json").stdout)
    assert len(shown["rows"]) == 3
    for row in shown["rows"]:
        assert row["tokens"] == len(row["pieces"])
        assert (row["pieces"][0], row["pieces"][-1]) == ("[CLS]", "[SEP]")
    assert "[age=20]" in shown["rows"][0]["pieces"]
    assert shown["token_counts"]["rows"] == ROWS
    assert shown["token_counts"]["shortest"] <= shown["rows"][0]["tokens"]


def test_preview_says_how_the_words_of_free_text_are_read(table):
    # More different words than the vocabulary has room for.
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghij", k=8)) for _ in range(ROWS * 150)]
    lines = ["id,note,label"]
    lines += [f"{i},{' '.join(words[i::ROWS])} here,{i % 3 % 2}" for i in range(ROWS)]
    table.write_text("\n".join(lines) + "\n")
    counts = json.loads(run("data", "preview", table, "--json").stdout)["words"]["note"]
    assert counts["whole"] + counts["in_pieces"] == 151 * ROWS
    assert counts["whole"] >= ROWS  # "here"
    assert counts["in_pieces"] > ROWS
    assert counts["unknown"] == 0
    share = counts["in_pieces"] / (151 * ROWS)
    assert f"note: {1 - share:.1%} of its words are whole" in run("data", "preview", table).stdout


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


def test_a_configuration_is_followed_as_in_training(table, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "data: {kinds: {age: category}, drop_columns: [note], template: natural}\n"
    )
    config = ("--config", tmp_path / "mine.yaml")
    facts = json.loads(run("data", "describe", table, *config, "--json").stdout)
    by_name = {fact["name"]: fact for fact in facts["columns"]}
    assert by_name["age"]["kind"] == "category"
    assert by_name["note"]["role"] == "left out"
    shown = json.loads(run("data", "preview", table, *config, "--json").stdout)
    assert shown["template"] == "natural"
    assert shown["rows"][0]["text"] == "the age is 20, the sex is m"
    wrong = run("data", "preview", table, "--config", tmp_path / "mien.yaml")
    assert wrong.exit_code == 2


def test_an_environment_variable_is_followed(table, monkeypatch):
    monkeypatch.setenv("BERT_DATA__TEMPLATE", "sentence")
    assert json.loads(run("data", "preview", table, "--json").stdout)["template"] == "sentence"


@pytest.mark.parametrize("command", ["describe", "preview"])
def test_columns_that_the_test_table_lacks_are_not_read(table, command):
    lines = [line.split(",") for line in table.read_text().splitlines()]
    rows = "\n".join(",".join([*line[:3], line[4]]) for line in lines)
    (table.with_name("test.csv")).write_text(
        "\n".join(r.rpartition(",")[0] for r in rows.split("\n"))
    )
    result = run("data", command, table, "--target", "label", "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "some words" not in "".join(
        row["text"] for row in json.loads(result.stdout).get("rows", [])
    )
    if command == "describe":
        roles = {fact["name"]: fact["role"] for fact in json.loads(result.stdout)["columns"]}
        assert roles["note"] == "left out"


def test_separators_of_pairs_and_cells_are_shown(table, tmp_path):
    (tmp_path / "pair.yaml").write_text("data: {text_pair: [sex, note]}\n")
    pair = run("data", "preview", table, "--config", tmp_path / "pair.yaml", "--json")
    (row, *_) = json.loads(pair.stdout)["rows"]
    assert row["text"] == "m [SEP] some words that number 0 wrote here"
    assert row["pieces"].count("[SEP]") == 2
    separated = run("data", "preview", table, "--template", "separated", "--json")
    (row, *_) = json.loads(separated.stdout)["rows"]
    assert row["text"].startswith("age: 20 [SEP] sex: m [SEP] note: some words")
    assert row["pieces"].count("[SEP]") == 3


@pytest.mark.parametrize("command", ["describe", "preview"])
def test_cells_cannot_command_the_terminal(table, command):
    text = table.read_text().replace(",m,", ",\x1b[31mm\x07,").replace("sex", "s\x1b[2Jx")
    table.write_text(text)
    result = run("data", command, table)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    assert "[31mm" in result.stdout


def test_a_bracket_in_a_path_is_no_colour(table, tmp_path):
    path = tmp_path / "[red]rows.csv"
    path.write_bytes(table.read_bytes())
    assert "[red]rows.csv" in run("data", "describe", path).stdout


def test_windows_of_a_series_are_shown_as_they_are_read(tmp_path):
    path = tmp_path / "train.csv"
    rows = [f"{store},2020-01-{day + 1:02d},{10 * day}" for store in "ab" for day in range(20)]
    path.write_text("store,day,sales\n" + "\n".join(rows) + "\n")
    settings = "target: sales, horizon: 2, lags: 3, series_column: store, time_column: day"
    config = tmp_path / "series.yaml"
    config.write_text(
        f"data: {{{settings}, template: key_value}}\n"
        "model: {hidden_size: 32, num_layers: 1, num_heads: 2}\ntraining: {max_steps: 2}\n"
    )
    shown = json.loads(run("data", "preview", path, "--config", config, "--json").stdout)
    assert shown["token_counts"]["rows"] == 2 * 18
    lags = "sales lag 1: 20, sales lag 2: 10, sales lag 3: 0"
    assert shown["rows"][2]["text"].endswith(lags)
    assert "+1" not in shown["rows"][2]["text"]
    output = tmp_path / "output"
    trained = run("train", "--train", path, "--config", config, "--output", output, "--no-compile")
    assert trained.exit_code == 0, (trained.output, trained.exception)
    (checkpoint,) = output.glob("run_*")
    read = run("data", "preview", path, "--checkpoint", checkpoint, "--json")
    assert read.exit_code == 0, (read.output, read.exception)
    assert json.loads(read.stdout)["rows"][2]["text"].endswith(lags)


@pytest.mark.parametrize("command", ["describe", "preview"])
def test_of_a_table_larger_than_memory_a_stated_part_is_looked_at(
    command, passengers, tmp_path, monkeypatch
):
    monkeypatch.setattr("bert_playground.data.schema.sampling.MAX_READ_ROWS", 20)
    config = tmp_path / "streamed.yaml"
    config.write_text("data: {streaming: true}\n")
    arguments = ["data", command, str(passengers / "train.csv"), "--config", str(config)]
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert found["read"].startswith("20 of 48 rows, drawn from all over the table")
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0
    assert "looked at: 20 of 48 rows" in shown.stdout.replace("\n", " ")
    config.write_text("data: {streaming: false}\n")
    whole = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert whole["read"] == "48 rows"


def test_describe_describes_where_no_target_can_be_inferred(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("stars,comment\n" + "".join(f"{i % 5},fit; broke {i}\n" for i in range(60)))
    result = run("data", "describe", path)
    assert result.exit_code == 0
    assert "target comment was inferred (the last column)" in result.stdout
    assert "stars: 0, " in result.stdout
    assert ", comment: fit; broke 0" in result.stdout
    assert run("data", "describe", path, "--target", "comment").exit_code == 2
    path.write_text("a,b\n" + "1,x\n" * 40)
    result = run("data", "describe", path)
    assert result.exit_code == 0
    assert "has the single class 'x'" in result.stdout
    path.write_text("text\n" + "".join(f"some words {i}\n" for i in range(40)))
    result = run("data", "describe", path)
    assert result.exit_code == 0
    assert "single column 'text'" in result.stdout


def test_one_row_repeats(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("a,y\n" + "".join(f"{i * i},{i % 2}\n" for i in [*range(1, 40), 39]))
    assert "1 row repeats another row" in run("data", "describe", path).stdout
