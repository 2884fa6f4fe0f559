"""The threat model of SECURITY.md, line by line."""

import gzip
import json
import os
import re
import shutil
import struct
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl
import pytest

from bert_playground.config.read import read_mapping
from bert_playground.data.reading import decompress, table_stream
from bert_playground.data.reading.table import read_table
from bert_playground.data.templates.derive import derive_columns
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.jinja import check_jinja, render_jinja
from bert_playground.data.templates.sql_expression import read_expression
from bert_playground.data.templates.templates import Template
from bert_playground.data.tokens.tokenizer import TextTokenizer, train_tokenizer
from bert_playground.files import replaced_directory, save_arrays
from bert_playground.inference import Predictions, Predictor, require_finite
from bert_playground.inspection import inspect_model
from bert_playground.models.checkpoint import load_model
from bert_playground.models.ensemble import read_manifest
from bert_playground.models.lora.patterns import match_whole

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "caa11f4"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of a small checkpoint."""
    return Path(shutil.copytree(FIXTURES / "ordinal", tmp_path / "checkpoint"))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A copy of a small adapter, as another program would have written it."""
    return Path(shutil.copytree(FIXTURES / "adapter", tmp_path / "adapter"))


def change(path: Path, *keys: str | int, value: Any) -> None:
    """Set one value of a JSON document."""
    document = json.loads(path.read_text(encoding="utf-8"))
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(document), encoding="utf-8")


# What holds a list twice: after 60 times it is written out in 2^60 items, though it takes little memory.
DOUBLED = ("[n.x, n.x]", "(n.x, n.x)", "{1: n.x, 2: n.x}", "cycler(n.x, n.x).items", "namespace(a=n.x, b=n.x)")  # fmt: skip


def render_checked(source: str) -> None:
    """A template on a row of one cell."""
    check_jinja(source)
    render_jinja(pl.DataFrame({"a": ["x"]}), [Feature("a", "a", "text")], source)


def change_weights(folder: Path, value: float) -> None:
    """Put one value into the first weight."""
    path = folder / "model.safetensors"
    weights = mx.load(str(path))
    assert isinstance(weights, dict)
    name = next(iter(weights))
    weights[name] = mx.full(weights[name].shape, value)
    mx.eval(weights)
    mx.save_safetensors(str(path), weights)


def test_each_line_names_a_test_that_is_here() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named <= here
    assert here - named == {"test_each_line_names_a_test_that_is_here"}


def test_pickles_are_not_read(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="pickle"):
        load_model(checkpoint)


@pytest.mark.parametrize(
    ("file", "keys", "value"),
    [
        ("config.json", ("head", "pooling"), [1]),
        ("config.json", ("head",), None),
        ("config.json", ("hidden_size",), "32"),
        ("config.json", ("model_type",), ["bert"]),
        ("config.json", ("initializer_range",), float("nan")),
        ("config.json", ("head", "head_type"), None),
        ("config.json", ("head", "huber_delta"), None),
        ("config.json", ("label2id",), [1]),
        ("pipeline.json", ("max_length",), None),
        ("pipeline.json", ("features",), []),
        ("pipeline.json", ("id_column",), -1),
        ("pipeline.json", ("labels", "classes"), 5),
        ("pipeline.json", ("features", 5, "part"), ""),
        ("pipeline.json", ("features", 5, "part"), None),
        ("pipeline.json", ("labels", "form"), 1e300),
        ("pipeline.json", ("labels", "form"), []),
        ("pipeline.json", ("augmentation",), "x"),
    ],
)
def test_wrong_types_are_named(
    checkpoint: Path, file: str, keys: tuple[str | int, ...], value: Any
) -> None:
    change(checkpoint / file, *keys, value=value)
    with pytest.raises(ValueError, match=str(keys[-1])) as caught:
        Predictor.load(checkpoint)
    assert file in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "hidden_size",
        "vocab_size",
        "intermediate_size",
        "max_position_embeddings",
        "num_hidden_layers",
    ],
)
@pytest.mark.parametrize("size", [60_000, 10**12])
def test_claimed_sizes_are_not_allocated(checkpoint: Path, key: str, size: int) -> None:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    change(checkpoint / "config.json", "layer_types", value=None)
    change(checkpoint / "config.json", key, value=size)
    if size > 10**9 or not (key == "max_position_embeddings" and "layer_types" in config):
        with pytest.raises(ValueError, match=f"{key}|shape"):
            inspect_model(checkpoint)
    else:
        inspect_model(checkpoint)  # rotary positions are no weights


@pytest.mark.parametrize("file", ["config.json", "pipeline.json", "tokenizer/tokenizer.json"])
def test_deep_nesting_is_refused(checkpoint: Path, file: str) -> None:
    (checkpoint / file).write_text('{"a":' + "[" * 50_000 + "]" * 50_000 + "}", encoding="utf-8")
    with pytest.raises(ValueError, match="nested"):
        Predictor.load(checkpoint)


def test_ids_beyond_the_embedding_are_refused(checkpoint: Path) -> None:
    path = checkpoint / "tokenizer" / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["model"]["vocab"]["zzz"] = 70_000
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match="ids up to 70,000"):
        Predictor.load(checkpoint)


def test_weights_of_other_dimensions_are_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FIXTURES / "multilabel", tmp_path / "checkpoint"))
    path = folder / "model.safetensors"
    weights = mx.load(str(path))
    assert isinstance(weights, dict)
    name = "model.layers.0.mlp.Wo.weight"
    weights[name] = weights[name][0]
    mx.eval(weights)
    mx.save_safetensors(str(path), weights)
    with pytest.raises(ValueError, match=r"layers\.0\.feed_forward\.down\.weight has shape"):
        load_model(folder)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("members", [1], "valid string"),
        ("members", ["members/x"] * 10_000, "several times"),
        ("members", ["x" * 5000], "lacks x{200}…;"),
        ("weights", "x", "valid array"),
        ("weights", [None], "valid number"),
        ("weights", [1e308, 1e308], "2 weights|not all 0"),
        ("strategy", [], "valid string"),
    ],
)
def test_manifests_of_ensembles_are_checked(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    folder = Path(shutil.copytree(FIXTURES / "ensemble", tmp_path / "ensemble"))
    change(folder / "ensemble.json", key, value=value)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        read_manifest(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(checkpoint: Path, value: float) -> None:
    change_weights(checkpoint, value)
    with pytest.raises(ValueError, match="not finite"):
        load_model(checkpoint)


def test_answers_that_are_not_finite_are_an_error(checkpoint: Path) -> None:
    answers = Predictions(np.array([[0.5], [np.nan]]), None, None)
    with pytest.raises(ValueError, match=r"1 of 2 rows with NaN or infinity, first row 2"):
        require_finite(answers, checkpoint)


def test_names_that_occur_twice_are_refused(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    name = next(name for name in header if name != "__metadata__")
    again = json.dumps(header)[:-1] + "," + json.dumps({name: header[name]})[1:]
    path.write_bytes(struct.pack("<Q", len(again)) + again.encode() + content[8 + size :])
    with pytest.raises(ValueError, match="several entries of one name"):
        load_model(checkpoint)


@pytest.mark.parametrize("pattern", [r"(\w+\.?)+!", "(.*.*)*!", r"([a-z.]+)*[0-9]+([a-z.]+)*!"])
def test_patterns_take_linear_time(pattern: str) -> None:
    began = time.process_time()
    assert match_whole(pattern, ["encoder.layers.0.attention" * 40], "target_modules") == [False]
    assert time.process_time() - began < 2
    with pytest.raises(ValueError, match="lookaround"):
        match_whole("(?=a)", ["a"], "target_modules")


def test_a_tokenizer_multiplies_nothing(checkpoint: Path) -> None:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 8}
    steps = {"type": "Sequence", "normalizers": [step] * 8}
    change(checkpoint / "tokenizer" / "tokenizer.json", "normalizer", value=steps)
    with pytest.raises(ValueError, match="times longer"):
        TextTokenizer.load(checkpoint / "tokenizer")


@pytest.mark.parametrize(
    "source",
    [
        "{{ (10**7)**(10**6) }}",
        "{{ 'a' * 10**10 }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ ('{0.__class__}'|attr('format'))(a) }}",
        "{{ a.__class__ }}",
        "{{ lipsum(n=10**6) }}",
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include 'x' %}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ [['x' * 9999] * 9999] * 9999 }}",
        "{{ ([range(9999) | list] * 9999) | sum(start=[]) | length }}",
        "{{ 'a'.encode().ljust(10**10) | length }}",
        "{{ 'a' | truncate(-5) }}",
        *(f"{{% set n = namespace(x=[1]) %}}{{% for i in range(60) %}}{{% set n.x = {each} %}}{{% endfor %}}{{{{ n.x }}}}" for each in DOUBLED),
    ],
)  # fmt: skip
def test_templates_are_bounded(source: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="template"):
        render_checked(source)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "sql",
    [
        "SYSTEM('x')",
        "+".join(["1"] * 20_000),
        "LPAD(a, 2000000000)",
        "REPEAT(a, LENGTH(a))",
        "(" * 5000 + "1" + ")" * 5000,
        "(SELECT 1)",
        "READ_CSV('/etc/passwd')",
        '"LPAD"(a, 2000000000)',
        "$$'$$ || LPAD(a, 2000000000) || $$'$$",
        "E'\\'' || LPAD(a, 2000000000) || E'\\''",
        f"REPLACE(REPLACE(a, '', '{'y' * 20}'), '', '{'y' * 20}')",
        "REPLACE(a, '', a)",
        r"a RLIKE a || '(\w{40}){5}'",
        r"REGEXP_LIKE(a, CONCAT(a, '(\w{40}){5}'))",
        "CAST(a AS DECIMAL(99, 9))",
        "LEAST()",
        "a -> ''",
    ],
)
def test_sql_is_bounded(sql: str) -> None:
    with pytest.raises(ValueError, match="cannot be computed"):
        read_expression(sql)
    long = Template(derive={"b": f"CONCAT({', '.join(['a'] * 50)})"})
    with pytest.raises(ValueError, match="letters"):
        derive_columns(pl.DataFrame({"a": ["x" * 1000]}), long)
    many = Template(derive={f"b{number}": "a" for number in range(1001)})
    with pytest.raises(ValueError, match="1,001 columns"):
        derive_columns(pl.DataFrame({"a": ["x"]}), many)
    late = Template(derive={"b": "CAST(9223372036854775807 AS TIMESTAMP(3))"})  # polars panics
    with pytest.raises(ValueError, match="cannot be derived"):
        derive_columns(pl.DataFrame({"a": ["x"]}), late)


@pytest.mark.parametrize("name", ["no-one/nothing", "nothing-of-one-word"])
def test_a_base_is_not_downloaded_unasked(adapter: Path, name: str) -> None:
    change(adapter / "adapter_config.json", "base_model_name_or_path", value=name)
    with pytest.raises(ValueError, match="not downloaded unasked"):
        load_model(adapter)


@pytest.mark.parametrize("name", ["x" * 10_000, "~nobody-of-this-name/model"])
def test_a_base_that_is_no_path_is_named(adapter: Path, name: str) -> None:
    change(adapter / "adapter_config.json", "base_model_name_or_path", value=name)
    with pytest.raises((ValueError, FileNotFoundError), match="base_model_name_or_path") as caught:
        load_model(adapter)
    assert len(str(caught.value)) < 1000


def test_decompression_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 500_000))
    monkeypatch.setattr(decompress, "FREE_BYTES", 2**20)
    with pytest.raises(ValueError, match="BERT_MAX_UNPACK_RATIO"):
        read_table(path)
    monkeypatch.setenv("BERT_MAX_UNPACK_RATIO", "2000")
    assert read_table(path).height == 500_000
    monkeypatch.setattr(table_stream, "LARGE_BYTES", 2**20)
    assert path.stat().st_size < 2**20
    assert table_stream.is_large(path)


def test_long_words_take_linear_time() -> None:
    began = time.process_time()
    tokenizer = train_tokenizer(["a short text", "x" * 100_000], 300)
    assert tokenizer.encode_texts(["x" * 100_000], 8).lengths.tolist() == [1]
    assert time.process_time() - began < 5  # 18 s where time grows with the square


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "training: &a {x: *a}",
        "l0: &l0 [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"l{i}: &l{i} [{','.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 12)),
        "training: {epochs: !!bool maybe}",
        "training: {epochs: !!python/object:os.system x}",
        "? [a]\n: 1\n",
        "a: " + "1" * 5000,
    ],
)
def test_configurations_are_bounded(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.yaml cannot be read"):
        read_mapping(path)


def test_checkpoints_are_synced_before_they_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    wait = os.fsync

    def watch(number: int) -> None:
        synced.append(os.fstat(number).st_ino)
        wait(number)

    monkeypatch.setattr(os, "fsync", watch)
    with replaced_directory(tmp_path / "best") as folder:
        (folder / "config.json").write_text("{}", encoding="utf-8")
    save_arrays(tmp_path / "weights.safetensors", {"a": mx.zeros(2)})
    paths = (tmp_path / "best" / "config.json", tmp_path / "best", tmp_path / "weights.safetensors")
    assert {path.stat().st_ino for path in paths} <= set(synced)
