"""What every head must do, one list of checks for all of HEADS."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.heads import (
    HEADS,
    BaseHead,
    BinaryClassificationHead,
    HeadConfig,
    MulticlassClassificationHead,
    RegressionHead,
    create_head,
)
from tests.models.layouts import as_packed
from tests.models.tiny import make_encoder, make_rows

LABELS: dict[str, Any] = {
    "binary": [0, 1, 1],
    "multiclass": [2, 0, 1],
    "regression": [0.5, -1.0, 2.0],
}
every_head = pytest.mark.parametrize("name", HEADS)
every_transform = pytest.mark.parametrize("transform", ["none", "tanh", "gelu_norm"])


def make_head(name: str, **options: Any) -> BaseHead:
    labels = 3 if name == "multiclass" else None
    return create_head(HeadConfig(name, hidden_size=32, num_labels=labels, **options)).eval()


def labels_of(name: str) -> mx.array:
    return mx.array(LABELS[name])


@every_head
@every_transform
@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention"])
def test_logits_are_f32_and_the_same_from_padded_and_packed_rows(
    name: str, transform: str, pooling: str
) -> None:
    model = BertWithHead(
        make_encoder("bert"), make_head(name, transform=transform, pooling=pooling)
    )
    model.eval()
    tokens = make_rows([9, 5, 2])
    logits = model(tokens)
    assert logits.shape == ((3, 3) if name == "multiclass" else (3,))
    assert np.allclose(logits, model(as_packed(tokens)), atol=1e-5)
    model.encoder.dtype = mx.bfloat16
    assert model(tokens).dtype == mx.float32


@every_head
def test_the_gradient_of_the_loss_reaches_every_parameter_of_the_model(name: str) -> None:
    head = make_head(name, transform="gelu_norm", pooling="mean", classifier_std=0.5)
    model = BertWithHead(make_encoder("modernbert"), head).eval()
    tokens = make_rows([9, 5, 30])

    def loss(parameters: dict) -> mx.array:
        model.update(parameters)
        return head.loss(model(tokens), labels_of(name))

    gradients = tree_flatten(mx.grad(loss)(model.trainable_parameters()))
    still = [parameter for parameter, gradient in gradients if not bool((gradient != 0).any())]
    assert still == []


@every_head
def test_descending_the_gradient_lowers_the_loss(name: str) -> None:
    head = make_head(name, transform="tanh")
    hidden, tokens = mx.random.normal((3, 4, 32)), make_rows([4, 4, 4])

    def loss(parameters: dict) -> mx.array:
        head.update(parameters)
        return head.loss(head(hidden, tokens), labels_of(name))

    before = loss(head.trainable_parameters())
    for _ in range(5):
        parameters = head.trainable_parameters()
        steps = mx.grad(loss)(parameters)
        head.update(_minus(parameters, steps, 0.05))
    assert float(loss(head.trainable_parameters())) < float(before)


def _minus(parameters: Any, steps: Any, rate: float) -> Any:
    if isinstance(parameters, dict):
        return {key: _minus(parameters[key], steps[key], rate) for key in parameters}
    return parameters - rate * steps


@every_head
def test_the_loss_is_the_weighted_mean_of_the_rows(name: str) -> None:
    head, logits, labels = make_head(name), _logits(name), labels_of(name)
    rows = head.row_losses(logits, labels)
    assert rows.shape == (3,)
    assert float(head.loss(logits, labels)) == pytest.approx(float(rows.mean()))
    weights = mx.array([1.0, 0.0, 3.0])
    expected = (float(rows[0]) + 3 * float(rows[2])) / 4
    assert float(head.loss(logits, labels, weights)) == pytest.approx(expected, rel=1e-5)


@every_head
def test_labels_of_the_wrong_shape_are_refused_with_the_remedy(name: str) -> None:
    head, logits = make_head(name), _logits(name)
    with pytest.raises(ValueError, match=r"\[3, 1\], expected \[3\]; pass labels.squeeze\(1\)"):
        head.loss(logits, labels_of(name)[:, None])
    with pytest.raises(ValueError, match=r"\[2\], expected \[3\]"):
        head.loss(logits, labels_of(name)[:2])


def _logits(name: str) -> mx.array:
    return mx.random.normal((3, 3) if name == "multiclass" else (3,), key=mx.random.key(0))


@every_head
def test_a_head_survives_its_config(name: str) -> None:
    head = make_head(name, transform="tanh", pooling="max", label_smoothing=0.1)
    again = create_head(HeadConfig.from_dict(head.config.to_dict()))
    assert again.config == head.config
    assert type(again) is type(head)


def test_probabilities_are_those_of_the_logits_over_the_temperature() -> None:
    binary = make_head("binary", temperature_scaling=2.0)
    assert np.allclose(binary.predict(mx.array([0.0, 2.0])), [0.5, 1 / (1 + np.exp(-1))])
    multiclass = make_head("multiclass", temperature_scaling=2.0)
    logits = np.array([[2.0, 0.0, -2.0]])
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    assert np.allclose(multiclass.predict(mx.array(logits)), expected)
    regression = make_head("regression")
    assert np.array_equal(regression.predict(mx.array([3.0, -1.0])), [3.0, -1.0])


def test_the_seed_documents_arguments_are_accepted() -> None:
    binary = BinaryClassificationHead(
        hidden_size=768,
        hidden_dropout_prob=0.1,
        use_focal_loss=True,
        focal_gamma=2.0,
        temperature_scaling=1.0,
    )
    multiclass = MulticlassClassificationHead(
        hidden_size=768, num_labels=10, label_smoothing=0.1, use_multiclass_focal=False
    )
    regression = RegressionHead(hidden_size=768, loss_type="huber")
    assert binary.config.use_focal_loss
    assert multiclass.output_size == 10
    assert regression.config.loss_type == "huber"
    config = HeadConfig(head_type="binary", use_focal_loss=True, hidden_dropout_prob=0.2)
    assert config.hidden_dropout_prob == 0.2


def test_focal_loss_counts_easy_rows_for_less() -> None:
    plain = make_head("binary")
    focal = make_head("binary", use_focal_loss=True, focal_gamma=2.0)
    logits, labels = mx.array([3.0, -3.0]), mx.array([1, 1])
    ratio = np.array(focal.row_losses(logits, labels) / plain.row_losses(logits, labels))
    assert ratio[0] < 0.01
    assert ratio[1] > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_type": "binry"}, "did you mean 'binary'"),
        ({"pooling": "men"}, "did you mean 'mean'"),
        ({"loss_type": "hubr"}, "did you mean 'huber'"),
        ({"transform": "pool"}, "unknown transform"),
        ({"hidden_dropout_prob": 1.0}, "below 1"),
        ({"focal_gamma": -1.0, "temperature_scaling": 0.0}, "focal_gamma.*temperature_scaling"),
        ({"head_type": "multiclass"}, "num_labels of at least 2, got None"),
        ({"hidden_size": None}, "needs hidden_size"),
    ],
)
def test_impossible_heads_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_head(HeadConfig(**({"hidden_size": 32} | options)))


def test_a_new_head_is_one_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubled(RegressionHead):
        head_type = "doubled"

        def predict(self, logits: mx.array) -> mx.array:
            return 2 * logits

    monkeypatch.setitem(HEADS, "doubled", Doubled)
    head = create_head(HeadConfig("doubled", hidden_size=32))
    assert float(head.predict(mx.array([1.5]))[0]) == 3.0
    assert head.config.head_type == "doubled"


def test_a_head_for_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors of 16.*vectors of 32"):
        BertWithHead(make_encoder("bert"), RegressionHead(hidden_size=16))
