"""fit_blend: the reported score is out of fold, and members get what they earn."""

import json

import numpy as np
import pytest
from sklearn.metrics import log_loss as scikit_log_loss

from bert_playground.blending import Stack, fit_blend
from bert_playground.blending.calibration import Calibration, fit_calibration
from bert_playground.blending.fit import _Fitter, _Problem
from bert_playground.blending.objective import log_loss, squared_error
from bert_playground.training.objectives import make_objective

ROWS = 600
FOLDS = np.arange(ROWS) % 5
RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.normal(size=ROWS)
LABELS = (RANDOM.random(ROWS) < 1 / (1 + np.exp(-2 * TRUTH))).astype(np.int64)


def member(noise, seed):
    random = np.random.default_rng(seed)
    return 1 / (1 + np.exp(-(1.3 * TRUTH + random.normal(size=ROWS) * noise)))


GOOD = {"encoder": member(0.7, 1), "boosting": member(0.7, 2)}
NOISE = {f"noise{i}": np.random.default_rng(i).random(ROWS) for i in range(6)}


@pytest.mark.parametrize("method", ["greedy", "logistic"])
def test_nested_score_of_noise_is_chance(method):
    """Members that know nothing: fitted on the rows themselves a blend shines, out of fold it does not."""
    labels = np.random.default_rng(99).integers(0, 2, 200)
    noise = {name: scores[:200] for name, scores in NOISE.items()}
    objective = make_objective("binary", "accuracy")
    fitter = _Fitter(objective, method, "metric")
    gaps, scores = [], []
    for seed in range(6):
        shuffled = np.random.default_rng(seed).permutation(labels)
        problem = _Problem(tuple(noise), np.stack(list(noise.values())), shuffled, FOLDS[:200])
        stack = fitter.fit(problem)
        scores.append(objective.judge(shuffled, fitter.nest(problem).decided))
        gaps.append(objective.judge(shuffled, stack.decide(stack.score(noise))) - scores[-1])
    assert np.mean(scores) == pytest.approx(0.5, abs=0.05)
    assert np.mean(gaps) > 0.04


def test_nested_answers_of_a_fold_do_not_see_its_labels():
    objective = make_objective("binary", "f1")
    plain = fit_blend(GOOD, LABELS, FOLDS, objective)
    changed = np.where(FOLDS == 2, 1 - LABELS, LABELS)
    other = fit_blend(GOOD, changed, FOLDS, objective)
    assert plain.nested is not None
    assert other.nested is not None
    np.testing.assert_array_equal(plain.nested[FOLDS == 2], other.nested[FOLDS == 2])
    assert plain.nested_scores is not None
    assert not np.array_equal(plain.nested_scores, other.nested_scores)


def test_useless_member_gets_next_to_nothing():
    blend = fit_blend(
        {**GOOD, "noise": NOISE["noise0"]}, LABELS, FOLDS, make_objective("binary", "log_loss")
    )
    by_name = {each.name: each for each in blend.members}
    assert by_name["noise"].weight < 0.05
    assert by_name["encoder"].adds.value > 2 * by_name["encoder"].adds.error
    assert sum(each.weight for each in blend.members) == pytest.approx(1)


def test_blend_of_good_members_is_better_than_each():
    blend = fit_blend(GOOD, LABELS, FOLDS, make_objective("binary", "roc_auc"))
    assert blend.score > max(each.score for each in blend.members)
    assert len(blend.fold_scores) == 5
    assert blend.standard_error > 0
    assert "adds" in blend.sentences()[1]
    assert blend.sentences()[1].endswith("to roc_auc")


def test_sentences_of_a_loss_say_that_it_falls():
    blend = fit_blend(GOOD, LABELS, FOLDS, make_objective("binary", "log_loss"))
    assert "takes" in blend.sentences()[1]
    assert blend.sentences()[1].endswith("off log_loss")
    assert all(score > 0 for score in blend.fold_scores.values())


def test_copy_is_not_shown_to_add_anything():
    twice = {"one": GOOD["encoder"], "two": GOOD["encoder"].copy()}
    blend = fit_blend(twice, LABELS, FOLDS, make_objective("binary", "roc_auc"))
    assert "one is not shown to add anything (0.0000 ± 0.0000)" in blend.sentences()[1]
    assert "two is not used" in blend.sentences()[2]


def test_one_fold_is_not_judged():
    blend = fit_blend(GOOD, LABELS, np.zeros(ROWS, int), make_objective("binary", "accuracy"))
    assert blend.nested is None
    assert blend.standard_error is None
    assert "which flatters" in blend.sentences()[0]
    assert json.dumps(blend.to_dict())


def test_single_member_is_a_blend_too():
    blend = fit_blend(
        {"only": GOOD["encoder"]}, LABELS, FOLDS, make_objective("binary", "accuracy")
    )
    assert blend.members[0].weight == 1
    assert blend.sentences()[1] == "only counts 1.00"


@pytest.mark.parametrize("method", ["greedy", "mean", "rank_mean", "logistic"])
@pytest.mark.parametrize("metric", ["f1", "log_loss"])
def test_stack_comes_back_from_a_file_with_the_same_answers(method, metric):
    blend = fit_blend(GOOD, LABELS, FOLDS, make_objective("binary", metric), method)
    again = Stack.from_dict(json.loads(json.dumps(blend.stack.to_dict())))
    assert again == blend.stack
    rows = {name: scores[:9] for name, scores in GOOD.items()}
    np.testing.assert_array_equal(
        again.decide(again.score(rows)), blend.stack.decide(blend.stack.score(rows))
    )


def test_stack_needs_the_members_that_count():
    blend = fit_blend(GOOD, LABELS, FOLDS, make_objective("binary", "roc_auc"))
    with pytest.raises(ValueError, match="'boosting'; did you mean 'boostin'"):
        blend.stack.score({"encoder": GOOD["encoder"], "boostin": GOOD["encoder"]})


def test_numbers_are_blended_too():
    random = np.random.default_rng(8)
    answers = {name: TRUTH + random.normal(size=ROWS) * 0.5 for name in ("a", "b")}
    for metric in ("rmse", "mae"):
        blend = fit_blend(answers, TRUTH, FOLDS, make_objective("regression", metric))
        assert blend.score < min(each.score for each in blend.members)
        assert (blend.decision, blend.calibration) == (None, None)


@pytest.mark.parametrize("seen", [0.5, 2.0])
def test_temperature_is_found(seen):
    true = Calibration(1.0, "binary")
    scores = 1 / (1 + np.exp(-2 * TRUTH))
    wrong = Calibration(1 / seen, "binary").apply(scores)
    found = fit_calibration(LABELS, wrong, make_objective("binary", "log_loss"))
    assert found is not None
    assert found.temperature == pytest.approx(seen, rel=0.2)
    np.testing.assert_allclose(true.apply(scores), scores, atol=1e-9)


def test_calibrated_probabilities_are_left_alone():
    scores = 1 / (1 + np.exp(-2 * TRUTH))
    assert fit_calibration(LABELS, scores, make_objective("binary", "log_loss")) is None


def test_temperature_of_classes_lowers_their_loss():
    random = np.random.default_rng(3)
    logits = random.normal(size=(ROWS, 4))
    powers = np.exp(logits)
    true = powers / powers.sum(axis=1, keepdims=True)
    labels = np.array([random.choice(4, p=row) for row in true])
    bold = Calibration(1 / 3, "multiclass").apply(true)
    found = fit_calibration(labels, bold, make_objective("multiclass", "log_loss"))
    assert found is not None
    assert found.temperature == pytest.approx(3, rel=0.25)
    assert log_loss(labels, found.apply(bold)) < log_loss(labels, bold)


def test_losses_are_scikit_learns():
    scores = GOOD["encoder"]
    assert log_loss(LABELS, scores) == pytest.approx(scikit_log_loss(LABELS, scores))
    assert squared_error(LABELS, scores) == pytest.approx(np.mean((LABELS - scores) ** 2))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({}, "no member answers"),
        ({"a": np.zeros(3)}, "a answers 3 rows, the labels are 600"),
        (
            {"a": np.where(np.arange(ROWS) == 7, np.nan, 0.5)},
            "no finite number in 1 rows, such as 7",
        ),
    ],
)
def test_answers_that_cannot_be_blended_are_named(answers, message):
    with pytest.raises(ValueError, match=message):
        fit_blend(answers, LABELS, FOLDS, make_objective("binary"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"names": ["a"]}, "2 weights"),
        ({"combiner": 3}, "no record"),
        ({"calibration": {"temperature": 0, "task": "binary"}}, "above 0"),
        ({"calibration": {"temperature": "hot", "task": "binary"}}, "no finite number"),
    ],
)
def test_damaged_stack_is_refused(damage, message):
    combiner = {"method": "mean", "task": "binary", "weights": [0.5, 0.5]}
    with pytest.raises(ValueError, match=message):
        Stack.from_dict({"names": ["a", "b"], "combiner": combiner, **damage})
