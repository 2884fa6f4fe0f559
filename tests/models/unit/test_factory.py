"""The friendly door: names, options, and what a run's config becomes."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from bert_playground.config.datasets import DATASETS
from bert_playground.config.schema import RunConfig
from bert_playground.models.bert import BertConfig, BertCore, ModernBertCore
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import save_model
from bert_playground.models.ensemble import Ensemble
from bert_playground.models.factory import (
    ModelFactory,
    create_bert_with_head,
    create_from_config,
    create_kaggle_model,
    create_model,
    load_from_huggingface,
)
from bert_playground.models.heads import HeadConfig
from bert_playground.models.lora import LoRALinear
from bert_playground.models.quantization_utils import quantize_model, quantized_layers
from bert_playground.models.tokenwise import named_parameters
from bert_playground.tasks import TASKS
from tests.models.tiny import make_rows

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}


@pytest.mark.parametrize(
    ("arguments", "core", "head", "num_outputs"),
    [
        (("bert", None, 2), BertCore, "binary", 1),
        (("modernbert", "regression"), ModernBertCore, "regression", 1),
        (("modernbert", None, 3), ModernBertCore, "multiclass", 3),
        (("modernbert_with_head", "multiclass", 4), ModernBertCore, "multiclass", 4),
        (("bert",), BertCore, "binary", 1),
    ],
)
def test_create_model_makes_what_the_name_says(
    arguments: tuple[Any, ...], core: type, head: str, num_outputs: int
) -> None:
    model = create_model(*arguments, **SIZES)
    assert isinstance(model.encoder, core)
    assert model.head.head_type == head
    assert model.head.output_size == num_outputs


def test_published_sizes_are_the_default() -> None:
    model = create_model("bert", num_labels=2)  # lazy: no weight is drawn before it is used
    encoder = sum(weight.size for weight in named_parameters(model.encoder).values())
    # bert-base-uncased with its tied masked-language head has 109,514,298; that head has 622,650 of its own.
    assert encoder == 109_514_298 - 622_650
    modern = create_model("modernbert", num_labels=2)
    encoder = sum(weight.size for weight in named_parameters(modern.encoder).values())
    assert encoder == 149_655_232 - 768 * 768 - 768 - 50368


def test_options_go_to_the_encoder_or_to_the_head() -> None:
    model = create_model("bert", num_labels=2, use_focal_loss=True, pooling="mean", **SIZES)
    assert model.encoder.config.hidden_size == 32
    assert model.head.config.use_focal_loss
    assert (model.head.config.pooling, model.head.config.transform) == ("mean", "none")
    assert create_model("bert", **SIZES).head.config.transform == "tanh"
    assert create_model("modernbert", rope_theta=5e4, **SIZES).encoder.config.theta(None) == 5e4


def test_the_seed_documents_examples_work() -> None:
    model = create_bert_with_head(
        model_type="modernbert",
        head_type="multiclass",
        num_labels=3,
        use_lora=True,
        lora_preset="balanced",
        **SIZES,
    )
    assert isinstance(model.encoder.layers[0].attention.qkv, LoRALinear)
    bert_config = BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=16)
    head_config = HeadConfig(head_type="binary", use_focal_loss=True, hidden_dropout_prob=0.2)
    model = ModelFactory().create_model(bert_config=bert_config, head_config=head_config)
    assert isinstance(model, BertWithHead)
    assert model.head.config.hidden_size == 64
    assert model.head.config.hidden_dropout_prob == 0.2


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("modernbrt",), {}, "unknown model type 'modernbrt'; did you mean 'modernbert'"),
        (("bert", "binry"), {}, "unknown head 'binry'; did you mean 'binary'"),
        (("bert", "multiclass"), {}, "needs num_labels"),
        (("bert", "binary", 3), {}, "use 'multiclass'"),
        (("bert",), {"hiden_size": 3, "layers": 2}, "'hiden_size'; did you mean 'hidden_size'"),
        (("bert",), {"use_lora": True, "lora_preset": "fast"}, "unknown LoRA preset"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(
    arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        create_model(*arguments, **options)


def run_config(**sections: Any) -> RunConfig:
    return RunConfig.model_validate(sections)


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_a_run_from_scratch_has_the_sizes_of_its_config(architecture: str) -> None:
    config = run_config(
        model={"architecture": architecture, "hidden_size": 32, "num_layers": 2, "num_heads": 2},
        head={"dropout": 0.2, "pooling": "max"},
        data={"max_length": 48},
    )
    model = create_from_config(config, TASKS["multiclass"], 4, vocab_size=77, pad_token_id=0)
    shape = model.encoder.config
    assert (shape.vocab_size, shape.hidden_size, shape.num_hidden_layers) == (77, 32, 2)
    assert shape.max_position_embeddings == model.encoder.max_length == 64
    assert shape.intermediate_size == (128 if architecture == "bert" else 48)
    assert dropout_rates(shape) == {0.1}
    assert model.head.config.hidden_dropout_prob == 0.2
    assert (model.head.config.pooling, model.head.output_size) == ("max", 4)


def dropout_rates(shape: Any) -> set[float]:
    return {
        getattr(shape, name)
        for name in vars(shape)
        if "dropout" in name and name != "classifier_dropout"
    }


@pytest.mark.parametrize(
    ("num_rows", "has_text", "asked", "rate"),
    [
        (4_000, False, None, 0.3),
        (4_001, False, None, 0.1),
        (4_001, True, None, 0.3),
        (100, False, 0.0, 0.0),
        (100_000, True, 0.2, 0.2),
    ],
)
def test_dropout_from_random_weights_goes_by_rows_and_text(
    num_rows: int, has_text: bool, asked: float | None, rate: float
) -> None:
    model = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "dropout": asked}
    made = create_from_config(
        run_config(model=model),
        TASKS["binary"],
        2,
        vocab_size=10,
        pad_token_id=0,
        num_rows=num_rows,
        has_text=has_text,
    )
    assert dropout_rates(made.encoder.config) == {rate}


@pytest.mark.parametrize(("num_rows", "num_ramps"), [(4_000, 32), (4_001, 128), (None, 128)])
def test_numbers_of_many_rows_have_finer_ramps(num_rows: int | None, num_ramps: int) -> None:
    made = create_from_config(
        run_config(model={"hidden_size": 32, "num_layers": 1, "num_heads": 2}),
        TASKS["binary"],
        2,
        vocab_size=10,
        pad_token_id=0,
        number_tokens=[(5, 9)],
        num_rows=num_rows,
    )
    assert made.encoder.config.num_ramps == num_ramps


def test_a_run_from_a_checkpoint_keeps_its_weights_and_checks_the_fit(references: Path) -> None:
    folder = references / "modernbert_version_4"
    config = run_config(model={"pretrained": str(folder), "dropout": 0.3}, data={"max_length": 64})
    model = create_from_config(config, TASKS["binary"], 2, vocab_size=120)
    stored = mx.load(str(folder / "model.safetensors"))
    words = stored["model.embeddings.tok_embeddings.weight"]
    assert mx.array_equal(model.encoder.embeddings.words.weight, words)
    # transformers too takes the prediction head of masked language modelling along.
    assert mx.array_equal(model.head.dense.weight, stored["head.dense.weight"])
    assert model.encoder.config.mlp_dropout == 0.3
    with pytest.raises(ValueError, match="tokenizer has 121 entries"):
        create_from_config(config, TASKS["binary"], 2, vocab_size=121)
    longer = run_config(model={"pretrained": str(folder)}, data={"max_length": 65})
    with pytest.raises(ValueError, match="--max-length 64 or less"):
        create_from_config(longer, TASKS["binary"], 2, vocab_size=120)


def test_a_run_with_lora_trains_adapters_of_the_asked_modules() -> None:
    config = run_config(
        model={"hidden_size": 32, "num_layers": 2, "num_heads": 2},
        lora={"enabled": True, "preset": "efficient", "target_modules": ["query", "key"]},
    )
    model = create_from_config(config, TASKS["regression"], 1, vocab_size=77)
    assert model.encoder.layers[1].attention.qkv.lora_a.shape == (2 * 4, 32)


def test_the_number_of_labels_must_be_that_of_the_data() -> None:
    config = run_config(head={"num_labels": 3}, model={"hidden_size": 32, "num_heads": 2})
    with pytest.raises(ValueError, match=r"head.num_labels is 3, but the target has 2"):
        create_from_config(config, TASKS["binary"], 2, vocab_size=77)


def test_a_pretrained_encoder_gets_a_head_for_the_task(references: Path) -> None:
    model = load_from_huggingface(str(references / "bert"), task="classification", add_lora=True)
    assert model.head.head_type == "binary"
    assert isinstance(model.encoder.layers[0].attention.qkv, LoRALinear)
    own = load_from_huggingface(str(references / "bert_classification"), task="classification")
    stored = mx.load(str(references / "bert_classification" / "model.safetensors"))
    assert mx.array_equal(own.head.classifier.weight, stored["classifier.weight"])
    regression = load_from_huggingface(str(references / "bert_classification"), task="regression")
    assert regression.eval()(make_rows([5, 3])).shape == (2,)
    with pytest.raises(ValueError, match="did you mean 'regression'"):
        load_from_huggingface(str(references / "bert"), task="regresion")


def test_without_a_task_the_encoder_comes_alone(references: Path) -> None:
    encoder = load_from_huggingface(references / "bert").eval()
    assert isinstance(encoder, BertCore)
    ids = mx.array([[3, 4, 5], [6, 7, 0]])
    hidden = encoder(ids, mx.array([[1, 1, 1], [1, 1, 0]]), mx.zeros_like(ids))
    assert hidden.shape == (2, 3, encoder.hidden_size)
    adapted = load_from_huggingface(references / "bert", add_lora=True)
    assert isinstance(adapted.layers[0].attention.qkv, LoRALinear)


def test_options_of_a_head_need_a_task(references: Path) -> None:
    with pytest.raises(ValueError, match="num_labels, pooling: options of a head"):
        load_from_huggingface(references / "bert", num_labels=3, pooling="cls")


@pytest.mark.parametrize(
    ("competition", "head", "num_outputs"),
    [
        ("titanic", "binary", 1),
        ("house-prices", "regression", 1),
        ("house-prices-advanced-regression-techniques", "regression", 1),
        ("nlp-disaster", "binary", 1),
        ("obesity-s4e2", "multiclass", 7),
        *((name, None, None) for name in DATASETS),
    ],
)
def test_a_competition_gets_the_model_that_training_makes(
    competition: str, head: str | None, num_outputs: int | None
) -> None:
    model = create_kaggle_model(competition, num_hidden_layers=1)
    assert isinstance(model, BertWithHead)
    assert head in (None, model.head.head_type)
    assert num_outputs in (None, model.head.output_size)
    assert model.encoder.hidden_size == 256
    assert model.encoder.config.vocab_size == 4096
    assert model.eval()(make_rows([5, 3])).shape[0] == 2


def test_a_competition_gets_an_ensemble_with_adapters() -> None:
    ensemble = create_kaggle_model(
        "titanic", use_lora=True, ensemble_size=2, num_hidden_layers=1, hidden_size=64
    )
    assert isinstance(ensemble, Ensemble)
    assert [member.head.head_type for member in ensemble.members] == ["binary", "binary"]
    for member in ensemble.members:
        assert isinstance(member.encoder.layers[0].attention.qkv, LoRALinear)


def test_an_unknown_competition_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown competition 'titanik'; did you mean 'titanic'"):
        create_kaggle_model("titanik")


def test_training_a_quantized_checkpoint_without_adapters_makes_it_full(
    tmp_path: Path,
) -> None:
    model = create_model("bert", num_labels=2, **(SIZES | {"intermediate_size": 64}))
    save_model(quantize_model(model, bits=8, group_size=32), tmp_path)
    config = run_config(model={"pretrained": str(tmp_path)}, data={"max_length": 16})
    sizes = {"vocab_size": model.encoder.config.vocab_size}
    full = create_from_config(config, TASKS["binary"], 2, **sizes)
    assert not quantized_layers(full)
    assert "encoder.layers.0.attention.qkv.weight" in dict(
        tree_flatten(full.trainable_parameters())
    )
