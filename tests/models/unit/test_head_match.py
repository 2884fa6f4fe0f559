"""The head of a checkpoint for a new table: its classes are found by name, and what does not fit starts anew."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from bert_playground.logger import logger
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_model, load_from_huggingface
from bert_playground.models.head_match import Answers, load_matched, match_names
from bert_playground.models.heads import HeadConfig
from bert_playground.models.huggingface import read_pretrained
from tests.models.tiny import make_rows

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
}
WORDS = ("blue", "green", "red")
TURNED = ("red", "blue", "green")
ORDER = [2, 0, 1]


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="INFO", format="{message}")
    yield lines
    logger.remove(sink)


Save = Callable[..., BertWithHead]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def make(head: str, labels: Sequence[str] | None, encoder: str = "bert", **options: Any) -> Any:
        count = None if head in ("binary", "regression") else len(labels or WORDS)
        model = create_model(encoder, head, count, **SIZES, **options)
        model.eval()
        save_model(model, tmp_path / "model", labels)
        return model

    return make


def answer(folder: Path, head: HeadConfig, answers: Answers | None) -> mx.array:
    model = load_matched(read_pretrained(folder), head, answers)
    model.eval()
    return mx.array(model.head.predict(model(make_rows([9, 4]))))


def is_new(folder: Path, head: HeadConfig, answers: Answers | None) -> bool:
    return not load_matched(read_pretrained(folder), head, answers).head.classifier.weight.any()


def edit(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **values}
    config = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("encoder", ["bert", "modernbert", "neobert"])
@pytest.mark.parametrize("head", ["multiclass", "multilabel"])
def test_outputs_follow_their_names(
    encoder: str, head: str, save: Save, tmp_path: Path, said: list[str]
) -> None:
    model = save(head, WORDS, encoder)
    old = model(make_rows([9, 4]))
    config = HeadConfig(head, num_labels=3)
    new = load_matched(read_pretrained(tmp_path / "model"), config, Answers("color", TURNED)).eval()
    assert mx.array_equal(new(make_rows([9, 4])), old[:, mx.array(ORDER)])
    assert said == [
        f"the head of {tmp_path / 'model'} answers blue, green, red and is kept, "
        "its rows in the order of this table\n"
    ]


def test_a_binary_head_with_its_classes_swapped_is_negated(save: Save, tmp_path: Path) -> None:
    model = save("binary", ["negative", "positive"])
    old = model(make_rows([9, 4]))
    swapped = Answers("y", ("Positive", "NEGATIVE "))
    new = load_matched(read_pretrained(tmp_path / "model"), HeadConfig("binary"), swapped).eval()
    assert mx.array_equal(new(make_rows([9, 4])), -old)
    assert mx.array_equal(new.head.classifier.weight, -model.head.classifier.weight)


@pytest.mark.parametrize(
    ("labels", "wanted", "why"),
    [
        (("blue", "green", "red"), ("blue", "green", "gray"), "this table blue, green, gray"),
        (None, ("blue", "green", "red"), "does not name what it answers"),
        (None, ("LABEL_0", "LABEL_1", "LABEL_2"), "does not name what it answers"),
        (("blue", "green", "red"), ("blue", "green"), "this table blue, green"),
    ],
)
def test_other_classes_mean_a_new_classifier(
    labels: tuple[str, ...] | None,
    wanted: tuple[str, ...],
    why: str,
    save: Save,
    tmp_path: Path,
    said: list[str],
) -> None:
    save("multiclass", labels)
    head = HeadConfig("multiclass", num_labels=len(wanted))
    assert is_new(tmp_path / "model", head, Answers("color", wanted))
    assert why in said[0]
    assert said[0].endswith(": a new classifier\n")


def test_names_are_read_off_label2id_and_lists_too(save: Save, tmp_path: Path) -> None:
    model = save("multiclass", WORDS)
    old = model.head.predict(model(make_rows([9, 4])))
    head, answers = HeadConfig("multiclass", num_labels=3), Answers("color", TURNED)
    edit(tmp_path / "model", id2label=None, head=None)
    assert mx.array_equal(answer(tmp_path / "model", head, answers), old[:, mx.array(ORDER)])
    edit(tmp_path / "model", id2label=list(WORDS), label2id=None)
    assert mx.array_equal(answer(tmp_path / "model", head, answers), old[:, mx.array(ORDER)])


def test_the_pipeline_beside_a_checkpoint_names_its_classes(save: Save, tmp_path: Path) -> None:
    save("multiclass", None)
    labels = {"task": "multiclass", "classes": list(WORDS)}
    (tmp_path / "model" / "pipeline.json").write_text(
        json.dumps({"target": "color", "labels": labels})
    )
    assert not is_new(
        tmp_path / "model", HeadConfig("multiclass", num_labels=3), Answers("paint", TURNED)
    )


def test_bare_numbers_are_classes_of_their_target_alone(save: Save, tmp_path: Path) -> None:
    save("binary", ["0", "1"])
    labels = {"task": "binary", "classes": [0, 1]}
    (tmp_path / "model" / "pipeline.json").write_text(
        json.dumps({"target": "Survived", "labels": labels})
    )
    head = HeadConfig("binary")
    assert not is_new(tmp_path / "model", head, Answers("survived", ("0.0", "1.0")))
    assert is_new(tmp_path / "model", head, Answers("churned", ("0", "1")))


@pytest.mark.parametrize("use_cumulative_link", [True, False])
def test_ordered_classes_need_the_same_order(
    use_cumulative_link: bool, save: Save, tmp_path: Path, said: list[str]
) -> None:
    model = save("ordinal", ["low", "mid", "high"], use_cumulative_link=use_cumulative_link)
    head = HeadConfig("ordinal", num_labels=3, use_cumulative_link=use_cumulative_link)
    old = model.head.predict(model(make_rows([9, 4])))
    same = answer(tmp_path / "model", head, Answers("size", ("Low", "Mid", "High")))
    assert mx.array_equal(same, old)
    assert is_new(tmp_path / "model", head, Answers("size", ("high", "mid", "low")))
    assert "in the order low, mid, high, this table in another" in said[-1]


def test_a_head_of_another_kind_is_not_reused(save: Save, tmp_path: Path, said: list[str]) -> None:
    save("multilabel", WORDS)
    head = HeadConfig("multiclass", num_labels=3)
    assert is_new(tmp_path / "model", head, Answers("color", WORDS))
    assert "is a multilabel head, and this is a multiclass one" in said[0]
    edit(tmp_path / "model", head=None, architectures=["BertForTokenClassification"])
    assert is_new(tmp_path / "model", head, Answers("color", WORDS))
    assert "BertForTokenClassification" in said[1]


def test_a_number_is_that_of_its_target(save: Save, tmp_path: Path, said: list[str]) -> None:
    model = save("regression", None)
    old = model(make_rows([9, 4]))
    labels = {"task": "regression", "mean": 50.0, "scale": 4.0, "uses_log": False}
    document = json.dumps({"target": "price", "labels": labels})
    (tmp_path / "model" / "pipeline.json").write_text(document)
    head = HeadConfig("regression")
    assert mx.array_equal(answer(tmp_path / "model", head, Answers("Price")), old)
    assert is_new(tmp_path / "model", head, Answers("rent"))
    assert "answers 'price', and this table 'rent'" in said[-1]


def test_steps_follow_their_names(save: Save, tmp_path: Path) -> None:
    model = save("timeseries", None)
    labels = {"task": "timeseries", "form": "steps", "columns": ["mon", "tue", "wed"]}
    document = json.dumps({"target": "mon,tue,wed", "labels": labels})
    (tmp_path / "model" / "pipeline.json").write_text(document)
    head = HeadConfig("timeseries", num_labels=3)
    new = answer(tmp_path / "model", head, Answers("wed,mon,tue", ("wed", "mon", "tue")))
    assert mx.array_equal(new, model(make_rows([9, 4]))[:, mx.array(ORDER)])


def test_a_number_without_a_name_is_a_start_and_said(
    save: Save, tmp_path: Path, said: list[str]
) -> None:
    save("regression", None)
    assert not is_new(tmp_path / "model", HeadConfig("regression"), Answers("price"))
    assert "does not say which target it answers" in said[0]
    edit(tmp_path / "model", id2label={"0": "rent"})
    assert is_new(tmp_path / "model", HeadConfig("regression"), Answers("price"))


def test_a_classifier_keeps_the_pooling_that_it_was_trained_on(
    save: Save, tmp_path: Path, said: list[str]
) -> None:
    model = save("multiclass", WORDS, pooling="mean")
    old = model.head.predict(model(make_rows([9, 4])))
    head = HeadConfig("multiclass", num_labels=3)
    assert mx.array_equal(answer(tmp_path / "model", head, Answers("color", WORDS)), old)
    asked = HeadConfig("multiclass", num_labels=3, pooling="max")
    assert is_new(tmp_path / "model", asked, Answers("color", WORDS))
    assert "stands on mean pooling" in said[-1]


def test_the_friendly_door_takes_names(save: Save, tmp_path: Path, said: list[str]) -> None:
    model = save("multiclass", WORDS)
    folder = tmp_path / "model"
    kept = load_from_huggingface(folder, "classification", labels=TURNED)
    wanted = model.head.classifier.weight[mx.array(ORDER)]
    assert mx.array_equal(kept.head.classifier.weight, wanted)
    load_from_huggingface(folder, "classification")
    assert said[-1].endswith("its outputs stay where they are in this order: blue, green, red\n")
    load_from_huggingface(folder, "classification", num_labels=5)
    assert "has 3 labels (blue, green, red), and 5 are asked: a new classifier" in said[-1]
    with pytest.raises(ValueError, match="num_labels is 2, but labels has 3 names"):
        load_from_huggingface(folder, "classification", 2, labels=WORDS)


@pytest.mark.parametrize(
    ("stored", "wanted", "order"),
    [
        (("a", "b"), ("b", "a"), [1, 0]),
        (("a", "A"), ("A", "a"), [1, 0]),
        (("a", "A"), ("a ", "A "), None),
        (("very good", "bad"), (" Bad", "Very  Good"), [1, 0]),
        (("0", "1"), ("1.0", "0.0"), [1, 0]),
        (("False", "True"), ("1", "0"), [1, 0]),
        (("1", "2"), ("0", "1"), None),
        (("a", "b"), ("a", "a"), None),
        (("a", "b"), ("a", "b", "c"), None),
    ],
)
def test_names_match_one_to_one(
    stored: tuple[str, ...], wanted: tuple[str, ...], order: list[int] | None
) -> None:
    assert match_names(stored, wanted) == order
