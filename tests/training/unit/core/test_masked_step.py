"""The train step on hidden words: each counts once, in both layouts, compiled or not."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.data.loaders.masked_loader import MaskedLoader
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.tokens.masking import Masking
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.models.bert import BertConfig, BertCore
from bert_playground.models.masked_lm import MaskedLM, create_masked_lm
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.step import StepResult, can_compile, make_train_step

MASKING = Masking(4, np.arange(5, 50, dtype=np.int32))


def make_model() -> MaskedLM:
    mx.random.seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(
        vocab_size=50, intermediate_size=32, max_position_embeddings=32, **sizes, **rates
    )
    model = create_masked_lm(BertCore(config))
    mx.eval(model.parameters())
    return model


def make_loader(layout: str) -> MaskedLoader:
    random = np.random.default_rng(0)
    lengths = np.array([3, 12, 7, 20, 5, 9])
    table = TokenizedTable(
        random.integers(5, 50, lengths.sum()).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
    )
    loader = MLXLoader(table, batch_size=2, layout=layout, prefetch_size=0)
    return MaskedLoader(loader, MASKING, seed=1)


def take(batches: list, **options: bool) -> StepResult:
    model, optimizer = make_model(), AdamW()
    step = make_train_step(model, optimizer, **{"use_compilation": False, **options})
    moments = optimizer.create_moments(model.trainable_parameters())
    result = step(model.trainable_parameters(), moments, batches, 1e-2, 1)
    mx.eval(result)
    return result


def flat(tree: object) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in tree_flatten(tree)}


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_accumulated_batches_are_the_mean_over_all_hidden_words(layout: str) -> None:
    batches = list(make_loader(layout))
    counts = np.array([batch.labels.shape[0] for batch in batches])
    assert len(set(counts)) > 1  # otherwise a mean of means would do as well
    singles = [take([batch]) for batch in batches]
    result = take(batches)
    losses = np.array([single.loss.item() for single in singles])
    assert result.loss.item() == pytest.approx((losses * counts).sum() / counts.sum(), rel=1e-5)
    model = make_model()

    def loss_of(parameters: dict) -> mx.array:
        model.update(parameters)
        total = sum(
            model.head.loss(model(batch.tokens), batch.labels) * int(count)
            for batch, count in zip(batches, counts, strict=True)
        )
        return total / int(counts.sum())

    gradients = flat(mx.grad(loss_of)(model.trainable_parameters()))
    norm = np.sqrt(sum(float((gradient**2).sum()) for gradient in gradients.values()))
    assert result.gradient_norm.item() == pytest.approx(norm, rel=1e-4)


def test_both_layouts_take_the_same_step() -> None:
    packed, padded = ([next(iter(make_loader(layout)))] for layout in ("packed", "padded"))
    assert packed[0].labels.tolist() == padded[0].labels.tolist()
    first, second = take(packed), take(padded)
    assert first.loss.item() == pytest.approx(second.loss.item(), rel=1e-5)
    expected = flat(first.moments["m"])
    for name, value in flat(second.moments["m"]).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-7, err_msg=name)


@pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")
def test_compiled_and_uncompiled_steps_agree() -> None:
    batches = list(make_loader("padded"))[:1]
    plain, compiled = take(batches), take(batches, use_compilation=True)
    assert compiled.loss.item() == pytest.approx(plain.loss.item(), rel=1e-5)
    expected = flat(plain.moments["m"])
    for name, value in flat(compiled.moments["m"]).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-7, err_msg=name)
