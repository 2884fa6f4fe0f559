"""predict.py reads cells and rows exactly as the pipeline does, without polars."""

import ast
import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import DataSection
from bert_playground.data.columns.derived_columns import DerivedColumn, add_derived
from bert_playground.data.columns.parsing import CLOCK, DATE_FORMATS, read_date, read_number
from bert_playground.data.columns.timestamps import read_times
from bert_playground.data.drift.repair import match_values
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.targets.windows import Windows
from bert_playground.data.templates.templates import TEMPLATES
from bert_playground.export.onnx import standalone_cells as cells
from bert_playground.export.onnx.files import predict_source
from bert_playground.export.onnx.plan import (
    as_python,
    columns_of,
    compile_derived,
    compile_member,
    compile_plan,
)
from bert_playground.export.onnx.standalone_rows import (
    RowReader,
    complete,
    latest_windows,
    read_csv,
    warn_of_strange_cells,
)
from tests.fitting import fit_pipeline

STRANGE = ["", " ", "NA", "n/a", "None", "?", "NaN", "null", "#N/A", "-", "x", "[SEP]", "nil"]
NUMBERS = [
    *("1", "+1", "-1.5", ".5", "5.", "1e5", "1E-3", "1_000", "inf", "-inf", "Infinity", "1e400"),
    *("0x10", "1d", "\uff11", "1e", "--1", "1.2.3", "0", "-0.0", "12345.678", "0.00001234", "1e16"),
    *(
        "$1,250",
        "(12)",
        "\u22123",
        "1 250 000",
        "1'250.5",
        "12 %",
        "1.2M",
        "3k",
        "5 million",
        "4th",
    ),
    *("1.250,5", "€ 3,5", "3.5 kg", "1,2,3", "12,34,567", "USD 7", "7/8", "1.5 out of 5", "٣"),
]
DATES = [
    *(
        "2020-01-31",
        "2020-1-2",
        "20-01-02",
        "2020-02-30",
        "2020-01-31 09:05",
        "2020-01-31T23:59:59",
    ),
    *("31.12.2020", "1.2.2020 7:30", "12/31/2020", "31/12/2020", "12/31/69", "1/2/70", "20201231"),
    *("5 Mar 2020", "5 March 2020", "Mar 5, 2020", "5-MAR-20", "Thu, 05 Mar 2020", "2020-03"),
    *(
        "Fri, 05 Mar 2020",
        "9:05",
        "9:05 pm",
        "12:00 a.m.",
        "2020-01-31 12:30:15.5 PM",
        "May 1, 2020",
    ),
]
TEXTS = [
    "Don't STOP",
    "a|b| 'c'",
    "['x', 'y']",
    "Braund, Mr. Owen Harris",
    "A/5 21171",
    "naïve ß İ",
]
ALL = [*STRANGE, *NUMBERS, *DATES, *TEXTS, "  7  ", "\u00a08\u00a0", "two\nlines"]


def select(expression: pl.Expr, values: list[Any]) -> list[Any]:
    return pl.DataFrame({"v": values}).select(expression.alias("out"))["out"].to_list()


@pytest.mark.parametrize("spelling", ["", "worded", "comma", "scaled"])
def test_numbers_are_read_as_polars_reads_them(spelling: str) -> None:
    stripped = [cell.strip() for cell in ALL]
    expected = select(read_number(pl.col("v"), spelling), stripped)
    ours = [cells.read_number(cell, spelling) for cell in stripped]
    assert dict(zip(stripped, ours, strict=True)) == dict(zip(stripped, expected, strict=True))


@pytest.mark.parametrize("form", [*DATE_FORMATS, "%Y%m%d", CLOCK])
def test_dates_and_times_are_read_as_polars_reads_them(form: str) -> None:
    stripped = [cell.strip() for cell in ALL]
    expected = select(read_date(pl.col("v"), form), stripped)
    ours = [cells.read_date(cell, form) for cell in stripped]
    assert dict(zip(stripped, ours, strict=True)) == dict(zip(stripped, expected, strict=True))
    seconds = read_times(pl.Series("v", ALL), form).to_numpy()
    np.testing.assert_array_equal([cells.read_time(cell, form) for cell in ALL], seconds)


def test_numbers_are_spelt_as_polars_spells_them() -> None:
    random = np.random.default_rng(0)
    numbers = [1e-5, 1.234e-5, -1.5e-5, 9.9e-6, 1e-7, 1e15, 1e16, 1e22, 0.1, -0.0, 100.0, 1e300]
    numbers += [*(random.normal(size=300) * 10.0 ** random.integers(-12, 18, 300)).tolist()]
    assert [cells.spell(number) for number in numbers] == select(
        pl.col("v").cast(pl.String), numbers
    )
    for digits in (4, 12):
        expected = select(pl.col("v").round_sig_figs(digits), numbers[:-1])
        ours = [cells.round_figures(number, digits) for number in numbers[:-1]]
        np.testing.assert_allclose(ours, expected, rtol=1e-15)


@pytest.mark.parametrize(
    "pattern",
    [r"^(\p{L}+)", r"^\p{L}*([0-9]+)", r"[0-9](\p{L}+)$", r"^(\D.*?)[ .]*[0-9]*$", r"([0-9]+)\D*$"],
)
def test_regular_expressions_mean_the_same(pattern: str) -> None:
    values = [*ALL, "Ä5x", "x_1", "5é", "line\n"]
    expected = select(pl.col("v").str.extract(pattern, 1), values)
    found = [cells.re.search(as_python(pattern), value) for value in values]
    assert [each[1] if each else None for each in found] == expected


def make_frame(num_rows: int, seed: int) -> pl.DataFrame:
    """A table with a column of every kind."""
    random = np.random.default_rng(seed)

    def pick(values: list[str]) -> list[str]:
        return [values[i] for i in random.integers(0, len(values), num_rows)]

    titles = ("Mr", "Mrs", "Miss", "Dr")
    names = [f"Name{i}, {titles[i % 4]}. First{i}" for i in range(num_rows)]
    return pl.DataFrame(
        {
            "Id": [str(i) for i in range(num_rows)],
            "price": [f"{value:.2f}" for value in random.lognormal(3, 1, num_rows)],
            "paid": [f"${value:,.2f}" for value in random.uniform(0, 5000, num_rows)],
            "rooms": pick(["1", "2", "3", ""]),
            "town": pick(["Cork", "Le Havre", "NA", "Paris"]),
            "born": [f"{1950 + i % 50}-0{1 + i % 9}-1{i % 9}" for i in range(num_rows)],
            "seen": [f"{1 + i % 28}.0{1 + i % 9}.2020 {i % 24}:30" for i in range(num_rows)],
            "tags": pick(["red;round", "red", "blue;square", "round;blue"]),
            "name": names,
            "ticket": [f"{'ABC'[i % 3]}/{i % 7} {1000 + i % 40}" for i in range(num_rows)],
            "about": [f"{'good' if i % 3 else 'bad'} thing number {i} of words" for i in range(num_rows)],
            "y": pick(["yes", "no"]),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> TextPipeline:
    return fit_pipeline(make_frame(150, 0), DataSection(target="y", numeric_features="auto"))


def make_reader(pipeline: TextPipeline, folder: Path) -> RowReader:
    (folder / "tokenizer.json").write_text(pipeline.tokenizer.to_json(), encoding="utf-8")
    plan = {**compile_member(pipeline), "top": compile_plan(pipeline, None)}
    return RowReader(folder, json.loads(json.dumps(plan)))


def check_rows(pipeline: TextPipeline, frame: pl.DataFrame, folder: Path) -> None:
    """The text, the token ids and the numbers of every row are the pipeline's."""
    reader = make_reader(pipeline, folder)
    rows = complete(frame.select(columns_of(pipeline)).to_dicts(), reader.plan)
    pieces = reader.plan["pieces"]
    if not pipeline.form.is_pair:
        texts = ["".join(cells.write_piece(p, row[p["column"]]) for p in pieces) for row in rows]
        assert texts == pipeline.text(frame).to_list()
    ids, starts = reader.encode(rows)
    table = pipeline.tokenize(frame.drop(pipeline.targets, strict=False))
    assert ids == [row.tolist() for row in table.rows()]
    assert starts == (table.lengths if table.second is None else table.second).tolist()
    if pipeline.numbers:
        np.testing.assert_array_equal(reader.encode_numbers(rows), table.numbers)


def make_strange(frame: pl.DataFrame) -> pl.DataFrame:
    """The same columns, each with every strange cell."""
    columns = {name: ALL for name in frame.columns if name not in ("Id", "y")}
    return pl.DataFrame({"Id": [str(i) for i in range(len(ALL))], **columns})


@pytest.mark.parametrize(
    ("template", "options"),
    [
        *((name, {}) for name in TEMPLATES if not TEMPLATES[name].derive),
        ("key_value", {"numbers": "magnitude", "missing": "skipped", "closing": "."}),
        ("sentence", {"numbers": "exact", "units": {"price": "pound", "rooms": "room|roomz"}}),
        ("natural", {"opening": "Row:", "phrases": {"town": "in {value} ({name})"}, "units": {"price": "x"}}),
    ],
)  # fmt: skip
def test_every_template_is_written_alike(
    fitted: TextPipeline, template: str, options: dict[str, Any], tmp_path: Path
) -> None:
    pipeline = replace(fitted, form=TEMPLATES[template].changed(options), max_length=48)
    check_rows(pipeline, make_frame(60, 1), tmp_path)
    check_rows(pipeline, make_strange(make_frame(2, 0)), tmp_path)


def test_columns_of_every_kind_were_fitted(fitted: TextPipeline) -> None:
    forms = {feature.form for feature in fitted.features}
    assert {"number", "category", "date", "title", "list"} <= forms
    assert {column.kind for column in fitted.derived} >= {"part"}
    assert fitted.numbers


KINDS = [
    ("sum", ("price", "paid"), ("", "worded")),
    ("difference", ("paid", "price"), ("worded", "")),
    ("ratio", ("price", "paid"), ("", "worded")),
    ("days", ("born", "seen"), ("", "%d.%m.%Y")),
]


@pytest.mark.parametrize(("kind", "sources", "forms"), KINDS)
def test_derived_columns_are_computed_alike(
    kind: str, sources: tuple[str, ...], forms: tuple[str, ...]
) -> None:
    column = DerivedColumn("new", sources, kind, forms=forms)
    plan = json.loads(json.dumps(compile_derived(column)))
    for frame in (make_frame(60, 1), make_strange(make_frame(2, 0))):
        shuffled = frame.with_columns(frame[sources[1]].shuffle(seed=3))
        expected = add_derived(shuffled, [column])["new"].to_list()
        assert [cells.derive(plan, row) for row in shuffled.to_dicts()] == expected


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("part", {"patterns": (r"^(\p{L}+)", r"(.)$"), "fold": "lower", "absent": "none"}),
        ("part", {"patterns": (r"([0-9].*)",), "fold": "code", "end": "\u2026"}),
        ("items", {"patterns": (r"\s+",)}),
        ("group size", {"patterns": (r"^(.)",), "keys": ("A", "B", "1"), "counts": (4, 2, 9)}),
    ],
)
def test_parts_of_codes_are_found_alike(kind: str, options: dict[str, Any]) -> None:
    column = DerivedColumn("new", ("ticket",), kind, **options)
    plan = json.loads(json.dumps(compile_derived(column)))
    for frame in (make_frame(60, 1), make_strange(make_frame(2, 0))):
        expected = add_derived(frame, [column])["new"].to_list()
        assert [cells.derive(plan, row) for row in frame.to_dicts()] == expected


@pytest.mark.parametrize("max_length", [7, 8, 24, 256])
def test_text_pairs_are_cut_alike(max_length: int, tmp_path: Path) -> None:
    frame = make_frame(80, 0)
    request = DataSection(target="y", text_pair=("name", "about"), max_length=max_length)
    check_rows(fit_pipeline(frame, request), make_frame(60, 1), tmp_path)


def test_windows_are_cut_alike() -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "store": [f"S{i % 3}" for i in range(60)],
            "day": [f"{1 + i // 3}.01.2020" for i in random.permutation(60)],
            "sales": [str(i) for i in range(60)],
        }
    ).unique(["store", "day"], maintain_order=True)
    windows = Windows("sales", "day", "store", lags=4, horizon=2, time_form="%d.%m.%Y")
    expected = windows.latest(frame)
    ours = latest_windows(frame.to_dicts(), windows.to_dict())
    for row, other in zip(ours, expected.to_dicts(), strict=True):
        assert {name: row[name] for name in other} == other


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"derive": {"double": "CAST(price AS DOUBLE) * 2"}}, "derives double by SQL"),
        ({"jinja": "{{ town }}"}, "Jinja"),
    ],
)
def test_what_needs_polars_is_refused_with_its_name(
    fitted: TextPipeline, options: dict[str, Any], reason: str
) -> None:
    pipeline = replace(fitted, form=fitted.form.changed(options))
    with pytest.raises(ValueError, match=reason):
        compile_member(pipeline)


def test_other_date_formats_are_refused(fitted: TextPipeline) -> None:
    features = [replace(each, spelling="%d.%m.%Y %I") for each in fitted.features if each.part]
    with pytest.raises(ValueError, match="%I in their format"):
        compile_member(replace(fitted, features=tuple(features)))


def test_a_form_that_is_not_written_there_is_refused(
    fitted: TextPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(cells.SAYINGS, "title")
    with pytest.raises(ValueError, match="name is read in the form 'title'"):
        compile_member(fitted)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_files_of_any_separator_are_read(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        written = csv.writer(file, delimiter=separator, lineterminator="\r\n")
        written.writerows([["id", "text"], ["1", f'a "b"{separator} c\nd'], ["2", ""], []])
    assert read_csv(path) == [
        {"id": "1", "text": f'a "b"{separator} c\nd'},
        {"id": "2", "text": ""},
    ]


VALUES = (
    ("male", "female"),
    ("Yes", "No"),
    ("0", "1"),
    ("101", "102.0", "A", "a", "Le Havre"),
    ("na", "none", "x"),
    ("on", "off", "maybe"),
)
OTHERS = ("MALE", " Female ", "TRUE", "y", "n", "0.0", "1.0", "101.0", "102", "A", "le  havre")


@pytest.mark.parametrize("values", VALUES)
def test_categories_in_other_words_are_read_alike(values: tuple[str, ...]) -> None:
    asked = [*dict.fromkeys([*ALL, *OTHERS, "\uff21"])]
    unknown = [cell for cell in asked if cells.value_of(cell) is not None]
    stripped = [cell.strip() for cell in unknown]
    named = ["none" if cell.lower() in cells.NONE else cell for cell in stripped]
    found = match_values(values, pl.Series("v", stripped)).to_list()
    expected = [
        cell if name in values or new is None else new
        for cell, name, new in zip(unknown, named, found, strict=True)
    ]
    column = {"values": list(values), "spelling": None}
    assert [cells.respell(cell, column) for cell in unknown] == expected


def test_drifted_categories_become_the_same_tokens(fitted: TextPipeline, tmp_path: Path) -> None:
    frame = make_frame(60, 1).with_columns(pl.col("town").str.to_uppercase())
    repaired = fitted.watch_drift().read(frame)
    assert not repaired["town"].equals(frame["town"])
    reader = make_reader(fitted, tmp_path)
    ids, _ = reader.encode(complete(frame.to_dicts(), reader.plan))
    assert ids == [row.tolist() for row in fitted.tokenize(repaired.drop("y")).rows()]


def test_faulty_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(SystemExit, match="header has 2 cells, but row 2 has 1"):
        read_csv(path)
    path.write_bytes("a\n\xe9\n".encode("latin-1"))
    with pytest.raises(SystemExit, match="cannot be read as a CSV in UTF-8"):
        read_csv(path)
    path.write_text("")
    with pytest.raises(SystemExit, match="cannot be read as a CSV"):
        read_csv(path)


def test_cells_that_training_did_not_have_are_named(
    fitted: TextPipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = json.loads(json.dumps(compile_member(fitted)))["pieces"]
    own = [piece for piece in pieces if piece["column"] in ("town", "price", "born")]
    rows = make_frame(40, 1).to_dicts()
    warn_of_strange_cells(rows, own)
    assert capsys.readouterr().err == ""
    warn_of_strange_cells([{**row, "town": "CORK", "price": "12,5"} for row in rows], own)
    said = capsys.readouterr().err
    assert "price: 40 of 40 cells are none that training had, such as '12,5'" in said
    assert "town: 40 of 40" in said
    assert "born" not in said


def test_predict_py_is_one_file_that_imports_three_libraries() -> None:
    source = predict_source()
    compile(source, "predict.py", "exec")
    assert "bert_playground" not in source.replace("bert-playground", "")
    modules = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    outside = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    assert outside == {"numpy", "onnxruntime", "tokenizers"}
    ast.parse(source, feature_version=(3, 10))
