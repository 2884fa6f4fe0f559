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
    MultilabelClassificationHead,
    OrdinalRegressionHead,
    RegressionHead,
    TimeSeriesRegressionHead,
    create_head,
)
from tests.models.layouts import as_packed
from tests.models.tiny import make_encoder, make_rows
from tests.pairwise import pairwise

LABELS: dict[str, Any] = {
    "binary": [0, 1, 1],
    "multiclass": [2, 0, 1],
    "multilabel": [[0, 1, 1], [1, 0, 0], [0, 0, 1]],
    "regression": [0.5, -1.0, 2.0],
    "ordinal": [2, 0, 1],
    "timeseries": [[0.5, -1.0, 2.0], [0.0, 1.0, 1.0], [-2.0, 0.1, 0.0]],
}
# One line for every form of a head: its name in HEADS, and options.
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in LABELS},
    "binary, focal, smoothed": ("binary", {"use_focal_loss": True, "label_smoothing": 0.1}),
    "multiclass, weighted": ("multiclass", {"class_weights": (0.5, 1.0, 2.0)}),
    "multilabel, pos_weight, focal": (
        "multilabel",
        {"pos_weight": (1.0, 3.0, 0.5), "use_focal_loss": True},
    ),
    "regression, uncertain": ("regression", {"uncertainty_estimation": True}),
    "ordinal, steps": ("ordinal", {"use_cumulative_link": False}),
    "ordinal, priors": ("ordinal", {"class_priors": (0.7, 0.2, 0.1)}),
    "timeseries, temporal": ("timeseries", {"use_temporal_features": True, "loss_type": "huber"}),
}
WIDTHS = {
    "binary": (),
    "binary, focal, smoothed": (),
    "regression": (),
    "regression, uncertain": (2,),
}
WIDTHS |= {name: (2,) for name in FORMS if name.startswith("ordinal")}
every_head = pytest.mark.parametrize("name", FORMS)
TRANSFORMS = ["none", "tanh", "gelu_norm"]
every_transform = pytest.mark.parametrize("transform", TRANSFORMS)


def make_head(name: str, **options: Any) -> BaseHead:
    head_type, form = FORMS[name]
    labels = None if head_type in ("binary", "regression") else 3
    config = HeadConfig(head_type, hidden_size=32, num_labels=labels, **{**form, **options})
    return create_head(config).eval()


def labels_of(name: str) -> mx.array:
    return mx.array(LABELS[FORMS[name][0]])


def test_every_head_is_checked_here() -> None:
    assert set(HEADS) == {head_type for head_type, _ in FORMS.values()}


@pytest.mark.parametrize(
    ("name", "transform", "pooling"),
    pairwise(FORMS, TRANSFORMS, ["cls", "mean", "max", "attention"]),
)
def test_logits_are_f32_and_the_same_from_padded_and_packed_rows(
    name: str, transform: str, pooling: str
) -> None:
    model = BertWithHead(
        make_encoder("bert"), make_head(name, transform=transform, pooling=pooling)
    )
    model.eval()
    tokens = make_rows([9, 5, 2])
    logits = model(tokens)
    assert logits.shape == (3, *WIDTHS.get(name, (3,)))
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
    if head.config.class_weights is not None:
        rows = rows * mx.array(head.config.class_weights)[labels]
    assert float(head.loss(logits, labels)) == pytest.approx(float(rows.mean()))
    weights = mx.array([1.0, 0.0, 3.0])
    expected = (float(rows[0]) + 3 * float(rows[2])) / 4
    assert float(head.loss(logits, labels, weights)) == pytest.approx(expected, rel=1e-5)


@every_head
def test_labels_of_the_wrong_shape_are_refused_with_the_remedy(name: str) -> None:
    head, logits = make_head(name), _logits(name)
    shape = r"\[3, 3" if head.has_many_labels else r"\[3"
    with pytest.raises(ValueError, match=rf"{shape}, 1\], expected {shape}\]; pass .*squeeze"):
        head.loss(logits, labels_of(name)[..., None])
    with pytest.raises(ValueError, match=rf"{shape.replace('3', '2', 1)}\], expected {shape}\]"):
        head.loss(logits, labels_of(name)[:2])


@every_head
def test_predictions_are_f32_and_each_in_its_range(name: str) -> None:
    head = make_head(name)
    answer = np.array(head.predict((4 * _logits(name)).astype(mx.bfloat16)))
    assert answer.dtype == np.float32
    assert len(answer) == 3
    if head.head_type in ("binary", "multilabel", "multiclass", "ordinal"):
        assert ((answer >= 0) & (answer <= 1)).all()
    if head.head_type in ("multiclass", "ordinal"):
        assert answer.shape == (3, 3)
        assert np.allclose(answer.sum(axis=1), 1, atol=1e-6)


@every_head
def test_labels_of_a_table_are_checked(name: str) -> None:
    head, labels = make_head(name), np.array(LABELS[FORMS[name][0]])
    head.check_labels(labels)
    with pytest.raises(ValueError, match=r"expected \[R"):
        head.check_labels(labels[..., None])
    if head.problem_type == "regression":
        with pytest.raises(ValueError, match="no finite numbers"):
            head.check_labels(labels * np.nan)
        return
    most = 2 if head.head_type in ("binary", "multilabel") else 3
    with pytest.raises(ValueError, match=rf"integers from 0 to {most - 1}, but some are {most}"):
        head.check_labels(np.where(labels == labels.max(), most, labels))


def _logits(name: str) -> mx.array:
    logits = mx.random.normal((3, *WIDTHS.get(name, (3,))), key=mx.random.key(0))
    # Cumulative logits fall from class to class.
    return -mx.sort(-logits, axis=-1) if name.startswith("ordinal") else logits


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
    multilabel = MultilabelClassificationHead(
        hidden_size=768, num_labels=20, pos_weight=None, adaptive_threshold=True
    )
    regression = RegressionHead(hidden_size=768, loss_type="mse", uncertainty_estimation=True)
    ordinal = OrdinalRegressionHead(hidden_size=768, num_classes=5, use_cumulative_link=True)
    series = TimeSeriesRegressionHead(
        hidden_size=768, forecast_horizon=24, use_temporal_features=True
    )
    assert binary.config.use_focal_loss
    assert multiclass.output_size == 10
    assert (multilabel.num_labels, multilabel.config.adaptive_threshold) == (20, True)
    assert (regression.output_size, regression.num_labels) == (2, 1)
    assert (ordinal.output_size, ordinal.num_labels) == (1, 5)
    assert series.num_labels == 24
    assert TimeSeriesRegressionHead(hidden_size=8).num_labels == 24
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
        ({"head_type": "multiclass", "num_labels": 1}, "num_labels of at least 2, got 1"),
        ({"head_type": "ordinal", "num_labels": 1}, "num_classes .* of at least 2, got 1"),
        ({"head_type": "multilabel"}, "needs num_labels"),
        ({"head_type": "multilabel", "num_labels": 0}, "num_labels is 0, expected 1 to"),
        (
            {"head_type": "multilabel", "num_labels": 3, "pos_weight": (1.0, 2.0)},
            "pos_weight has 2 numbers, expected 3",
        ),
        (
            {"head_type": "multilabel", "num_labels": 2, "pos_weight": (1.0, -2.0)},
            "pos_weight is .* expected numbers from 0",
        ),
        (
            {"head_type": "multilabel", "num_labels": 2, "thresholds": (0.5, 1.5)},
            "thresholds is .* from 0 to 1",
        ),
        ({"class_weights": (1.0,)}, "class_weights has 1 numbers, expected 2"),
        ({"class_weights": (0.0, 0.0)}, "all are 0"),
        (
            {"head_type": "regression", "class_weights": (1.0, 2.0), "pos_weight": (1.0,)},
            "regression head has no class_weights; a regression head has no pos_weight",
        ),
        (
            {"head_type": "regression", "loss_type": "mae", "uncertainty_estimation": True},
            "leave loss_type out",
        ),
        ({"head_type": "timeseries", "num_temporal_features": 2}, "without use_temporal_features"),
        ({"head_type": "timeseries", "uncertainty_estimation": True}, "no uncertainty_estimation"),
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


def test_a_rare_class_counts_for_more_by_its_weight() -> None:
    plain, weighted = make_head("binary"), make_head("binary", class_weights=(1.0, 4.0))
    logits, labels = mx.array([0.3, -0.2, 1.0]), mx.array([0, 1, 0])
    rows = np.array(plain.row_losses(logits, labels))
    expected = (rows[0] + 4 * rows[1] + rows[2]) / 3
    assert float(weighted.loss(logits, labels)) == pytest.approx(expected, rel=1e-6)
    halves = [float(weighted.loss(logits[i : i + 1], labels[i : i + 1])) for i in range(3)]
    assert float(weighted.loss(logits, labels)) == pytest.approx(np.mean(halves), rel=1e-6)


def test_the_deviation_starts_at_one_and_stays_positive() -> None:
    head = RegressionHead(8, uncertainty_estimation=True)
    answer = np.array(head.predict(mx.array([[0.5, 0.0], [0.0, -200.0], [0.0, 50.0]])))
    assert answer[0] == pytest.approx([0.5, 1.001])
    assert answer[1, 1] == pytest.approx(1e-3)
    assert answer[2, 1] == pytest.approx(50.5, rel=0.01)


def test_learned_thresholds_decide_which_labels_are_there() -> None:
    head = MultilabelClassificationHead(8, 2)
    scores = mx.array([[0.4, 0.6]])
    assert head.decide(scores).tolist() == [[False, True]]
    learned = MultilabelClassificationHead(8, 2, thresholds=(0.3, 0.7))
    assert learned.decide(scores).tolist() == [[True, False]]


@pytest.mark.parametrize("priors", [None, (0.05, 0.15, 0.6, 0.19, 0.01), (1.0, 0.0, 0.0, 0.0, 1.0)])
def test_an_ordinal_head_starts_from_the_priors(priors: tuple[float, ...] | None) -> None:
    head = OrdinalRegressionHead(8, 5, class_priors=priors, classifier_std=0.0)
    answer = np.array(head.predict(head.forward(mx.zeros((1, 8)))))[0]
    expected = np.full(5, 0.2) if priors is None else np.array(priors) / sum(priors)
    assert answer == pytest.approx(expected, abs=2e-3)
    assert (np.diff(np.array(head.cut_points())) > 0).all()


def test_no_gradient_puts_cut_points_out_of_order() -> None:
    head = OrdinalRegressionHead(8, 4)
    hidden, tokens, labels = mx.random.normal((6, 3, 8)), make_rows([3] * 6), mx.array([0, 3] * 3)
    head.eval()

    def loss(parameters: dict) -> mx.array:
        head.update(parameters)
        return head.loss(head(hidden, tokens), labels)

    # Only the ends occur: the middle classes are pressed together as far as they go.
    for _ in range(200):
        parameters = head.trainable_parameters()
        head.update(_minus(parameters, mx.grad(loss)(parameters), 1.0))
        mx.eval(head.parameters())
    points = np.array(head.cut_points())
    assert (np.diff(points) >= 1e-3 - 1e-6).all()
    answer = np.array(head.predict(head(hidden, tokens)))
    assert (answer >= 0).all()
    assert np.allclose(answer.sum(axis=1), 1, atol=1e-6)


def test_given_temporal_features_change_the_steps_they_belong_to() -> None:
    head = TimeSeriesRegressionHead(
        8, 3, use_temporal_features=True, num_temporal_features=2, classifier_std=0.5, dense_std=0.5
    ).eval()
    hidden, tokens = mx.random.normal((2, 4, 8)), make_rows([4, 2])
    features = mx.zeros((2, 3, 2))
    before = np.array(head(hidden, tokens, features))
    features[1, 2] = mx.array([1.0, -1.0])
    changed = np.array(head(hidden, tokens, features)) != before
    assert changed.tolist() == [[False] * 3, [False, False, True]]
    with pytest.raises(ValueError, match=r"none, expected shape \[2, 3, 2\]"):
        head(hidden, tokens)
    with pytest.raises(ValueError, match=r"shape \[2, 3, 1\], expected shape \[2, 3, 2\]"):
        head(hidden, tokens, features[..., :1])
    with pytest.raises(ValueError, match=r"expected none; .*num_temporal_features is 0"):
        TimeSeriesRegressionHead(8, 3)(hidden, tokens, features)


def test_steps_differ_by_their_embedding_alone() -> None:
    head = TimeSeriesRegressionHead(8, 5, use_temporal_features=True, classifier_std=0.5).eval()
    steps = np.array(head.temporal(mx.zeros((1, 8)), None))[0]
    assert len(np.unique(steps.round(7))) == 5
