"""predict_batches: table order, loss over rows, and the mode that the model came in."""

import mlx.core as mx
import numpy as np
import pytest

from bert_playground import kernels
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.inference import Predictor, evaluation_mode, has_adapters, predict_batches
from bert_playground.models.bert import BertConfig, BertCore
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import save_model
from bert_playground.models.heads import BinaryClassificationHead, MulticlassClassificationHead
from bert_playground.models.lora import LoRAAdapter, create_lora_config
from bert_playground.models.tokenwise import prepack_weights
from bert_playground.training.core.step import can_compile


def make_model(head=BinaryClassificationHead, *arguments) -> BertWithHead:
    mx.random.seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        hidden_dropout_prob=0.5,
        attention_probs_dropout_prob=0.0,
    )
    return BertWithHead(BertCore(config), head(16, *arguments, hidden_dropout_prob=0.5))


def make_loader(
    *, batch_size: int = 4, shuffle: bool = False, has_labels: bool = True, num_rows: int = 11
) -> MLXLoader:
    random = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(random.integers(2, 12, num_rows))])
    ids = random.integers(5, 40, offsets[-1]).astype(np.int32)
    labels = random.integers(0, 2, num_rows).astype(np.int32) if has_labels else None
    layout = "packed" if kernels.is_native() else "padded"
    return MLXLoader(
        TokenizedTable(ids, offsets, labels), batch_size=batch_size, shuffle=shuffle, layout=layout
    )


def test_scores_come_in_table_order_whatever_the_batches() -> None:
    model = make_model()
    expected = predict_batches(model, make_loader(batch_size=1)).scores
    for loader in (make_loader(batch_size=4), make_loader(batch_size=3, shuffle=True)):
        np.testing.assert_allclose(predict_batches(model, loader).scores, expected, atol=1e-5)


def test_scores_are_probabilities() -> None:
    binary = predict_batches(make_model(), make_loader()).scores
    many = predict_batches(make_model(MulticlassClassificationHead, 3), make_loader()).scores
    assert binary.shape == (11,)
    assert many.shape == (11, 3)
    assert ((binary > 0) & (binary < 1)).all()
    np.testing.assert_allclose(many.sum(axis=1), 1, rtol=1e-5)


def test_the_loss_is_a_mean_over_rows_not_over_batches() -> None:
    answer = predict_batches(make_model(), make_loader(batch_size=4))
    right = np.where(answer.labels == 1, answer.scores, 1 - answer.scores)
    assert answer.loss == pytest.approx(-np.log(right).mean(), rel=1e-4)


def test_a_table_without_labels_has_no_loss() -> None:
    answer = predict_batches(make_model(), make_loader(has_labels=False))
    assert (answer.loss, answer.labels) == (None, None)


def test_dropout_is_on_again_after_an_evaluation() -> None:
    model = make_model()
    model.train()
    first = predict_batches(model, make_loader()).scores
    np.testing.assert_array_equal(predict_batches(model, make_loader()).scores, first)
    assert all(module.training for module in model.modules())
    batch = next(iter(make_loader()))
    assert not mx.array_equal(model(batch.tokens), model(batch.tokens))


def test_a_model_in_evaluation_mode_stays_there() -> None:
    model = make_model()
    model.eval()
    predict_batches(model, make_loader())
    assert not any(module.training for module in model.modules())


def test_the_mode_comes_back_after_an_error() -> None:
    model = make_model()
    model.train()
    with pytest.raises(RuntimeError), evaluation_mode(model):
        raise RuntimeError
    assert model.training


def test_evaluation_draws_no_random_numbers() -> None:
    model = make_model()
    mx.random.seed(5)
    expected = mx.random.normal((3,)).tolist()
    mx.random.seed(5)
    predict_batches(model, make_loader())
    assert mx.random.normal((3,)).tolist() == expected


@pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")
def test_compiled_scores_follow_changed_weights() -> None:
    model = make_model()
    plain = predict_batches(model, make_loader())
    compiled = predict_batches(model, make_loader(), use_compilation=True)
    np.testing.assert_allclose(compiled.scores, plain.scores, atol=1e-5)
    assert compiled.loss == pytest.approx(plain.loss, rel=1e-4)
    model.head.classifier.weight = model.head.classifier.weight * -1
    changed = predict_batches(model, make_loader(), use_compilation=True).scores
    assert np.abs(changed - plain.scores).max() > 1e-4
    mx.eval(model.parameters())  # no placeholder of the tracer is left behind


def test_live_adapters_are_noticed() -> None:
    model = make_model()
    assert not has_adapters(model)
    LoRAAdapter(model, create_lora_config("efficient"))
    assert has_adapters(model)


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        predict_batches(make_model(), make_loader(num_rows=0))


def test_a_wrong_checkpoint_folder_says_what_was_expected(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Predictor.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"expected model\.safetensors"):
        Predictor.load(tmp_path)
    mx.save_safetensors(str(tmp_path / "model.safetensors"), {"a": mx.zeros(1)})
    with pytest.raises(FileNotFoundError, match=r"no pipeline\.json"):
        Predictor.load(tmp_path)


@pytest.mark.skipif(not kernels.can_pack(), reason="weights are packed by the native kernels only")
def test_a_model_that_kept_its_weights_packed_only_is_not_saved(tmp_path) -> None:
    model = make_model()
    loader = make_loader(num_rows=4)
    prepack_weights(model.encoder, model.encoder.dtype, drop_original=True)
    scores = predict_batches(model, loader).scores
    with pytest.raises(ValueError, match=r"kept only its weight packed.*load the model again"):
        save_model(model, tmp_path / "half")
    assert not (tmp_path / "half").exists()
    assert np.isfinite(scores).all()
