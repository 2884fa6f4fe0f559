"""What every encoder must do, one list of checks for all of ENCODERS."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.tokenwise import named_parameters
from bert_playground.tokens import Tokens
from tests.models.layouts import as_packed, real
from tests.models.tiny import VOCAB_SIZE, largest_difference, make_encoder, make_rows
from tests.tolerances import BF16, FINITE_DIFFERENCE, GRADIENT, LAYOUT

NO_DROPOUT = {
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "modernbert": {},
    "neobert": {},
}
DROPOUT = {
    "bert": {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3},
    "modernbert": {"attention_dropout": 0.3, "embedding_dropout": 0.3, "mlp_dropout": 0.3},
    "neobert": {"dropout": 0.3},
}
every_encoder = pytest.mark.parametrize("name", ENCODERS)
every_layout = pytest.mark.parametrize("layout", ["padded", "packed"])


def in_layout(tokens: Tokens, layout: str) -> Tokens:
    return tokens if layout == "padded" else as_packed(tokens)


@every_encoder
def test_hidden_states_follow_the_ids(name: str) -> None:
    encoder, tokens = make_encoder(name), make_rows([20, 11])
    assert encoder(tokens.input_ids, tokens.attention_mask).shape == (2, 20, 32)
    assert encoder.encode(as_packed(tokens)).shape == (31, 32)
    assert encoder.hidden_size == 32


@every_encoder
@given(lengths=st.lists(st.integers(1, 24), min_size=1, max_size=4), extra=st.integers(0, 8))
def test_padding_and_neighbours_do_not_change_a_row(
    name: str, lengths: list[int], extra: int
) -> None:
    encoder = make_encoder(name)
    wide = make_rows(lengths, max(lengths) + extra, padding=7)
    together = real(encoder.encode(wide), wide)
    alone = mx.concatenate(
        [encoder(wide.input_ids[row : row + 1, :length])[0] for row, length in enumerate(lengths)]
    )
    assert largest_difference(together, alone) < LAYOUT
    assert largest_difference(encoder.encode(as_packed(wide)), alone) < LAYOUT


@every_encoder
def test_a_mask_of_integers_means_the_same_as_one_of_booleans(name: str) -> None:
    encoder, tokens = make_encoder(name), make_rows([20, 11])
    mask = tokens.attention_mask
    assert mask is not None
    a = encoder(tokens.input_ids, mask)
    assert mx.array_equal(a, encoder(tokens.input_ids, mask.astype(mx.int32)))


@every_encoder
@every_layout
def test_bf16_activations_stay_close_and_parameters_stay_f32(name: str, layout: str) -> None:
    encoder, tokens = make_encoder(name), in_layout(make_rows([24, 11, 3]), layout)
    exact = encoder.encode(tokens)
    encoder.dtype = mx.bfloat16
    rounded = encoder.encode(tokens)
    assert rounded.dtype == mx.bfloat16
    padded = make_rows([24, 11, 3])
    layout_of = tokens if tokens.is_packed else padded
    difference = largest_difference(
        real(rounded.astype(mx.float32), layout_of), real(exact, layout_of)
    )
    assert 0 < difference < BF16
    assert {weight.dtype for weight in named_parameters(encoder).values()} == {mx.float32}


@every_encoder
def test_a_row_of_nothing_but_padding_is_finite_and_so_are_all_gradients(name: str) -> None:
    encoder, tokens = make_encoder(name), make_rows([24, 1], 24)
    mask = mx.concatenate([tokens.attention_mask[:1], mx.zeros((1, 24), dtype=mx.bool_)])

    def total(parameters: dict) -> mx.array:
        encoder.update(parameters)
        return encoder(tokens.input_ids, mask)[0].sum()

    assert bool(mx.isfinite(encoder(tokens.input_ids, mask)).all())
    for parameter, gradient in tree_flatten(mx.grad(total)(encoder.trainable_parameters())):
        assert bool(mx.isfinite(gradient).all()), parameter


@every_encoder
@every_layout
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16], ids=["bf16", "f16"])
def test_huge_activations_never_give_nan(name: str, layout: str, dtype: mx.Dtype) -> None:
    """A thousand times the usual weights drive f16 to its end at 65504."""
    encoder = make_encoder(name, hidden_size=64)
    encoder.dtype = dtype
    for layer in encoder.layers:
        for part in (layer.feed_forward.up, layer.attention.qkv, layer.attention.output):
            part.weight = part.weight * 1000
    rows = make_rows([24, 11, 3])
    mask = mx.concatenate([rows.attention_mask[:2], mx.zeros((1, 24), dtype=mx.bool_)])
    hidden = encoder.encode(in_layout(Tokens(rows.input_ids, mask), layout))
    assert hidden.dtype == dtype
    assert bool(mx.isfinite(hidden).all())


@every_encoder
def test_dropout_acts_in_training_only_and_obeys_the_seed(name: str) -> None:
    encoder, tokens = make_encoder(name, **DROPOUT[name]), make_rows([12, 5])
    exact = encoder.encode(tokens)
    assert mx.array_equal(exact, encoder.encode(tokens))
    encoder.train()

    def drawn(seed: int) -> mx.array:
        mx.random.seed(seed)
        return encoder.encode(tokens)

    assert mx.array_equal(drawn(1), drawn(1))
    assert largest_difference(drawn(1), drawn(2)) > 1e-2
    assert mx.array_equal(encoder.eval().encode(tokens), exact)


def gradients_of(encoder: object, tokens: Tokens) -> dict[str, mx.array]:
    def loss(parameters: dict) -> mx.array:
        encoder.update(parameters)
        return mx.square(real_sum(encoder.encode(tokens), tokens)).mean()

    return dict(tree_flatten(mx.grad(loss)(encoder.trainable_parameters())))


def real_sum(hidden: mx.array, tokens: Tokens) -> mx.array:
    if tokens.attention_mask is None:
        return hidden.sum(axis=0)
    return (hidden * tokens.attention_mask[..., None]).sum(axis=(0, 1))


@every_encoder
@every_layout
def test_gradient_checkpointing_changes_no_gradient(name: str, layout: str) -> None:
    encoder = make_encoder(name, **NO_DROPOUT[name]).train()
    tokens = in_layout(make_rows([12, 5]), layout)
    kept = gradients_of(encoder, tokens)
    encoder.gradient_checkpointing = True
    again = gradients_of(encoder, tokens)
    assert kept.keys() == again.keys()
    for parameter, gradient in kept.items():
        assert mx.allclose(gradient, again[parameter], rtol=GRADIENT, atol=1e-6), parameter


def peak_of_a_step(name: str, layout: str, *, is_checkpointing: bool) -> int:
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 6}
    encoder = make_encoder(name, **sizes, **NO_DROPOUT[name]).train()
    encoder.gradient_checkpointing = is_checkpointing
    tokens = in_layout(make_rows([32] * 8), layout)
    tokens = tokens if tokens.is_packed else Tokens(tokens.input_ids)
    mx.eval(encoder.parameters(), tokens.input_ids)

    def loss(parameters: dict) -> mx.array:
        encoder.update(parameters)
        return mx.square(encoder.encode(tokens)).mean()

    parameters = encoder.trainable_parameters()
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(mx.value_and_grad(loss)(parameters))
    return mx.get_peak_memory() - before


@every_encoder
@every_layout
def test_gradient_checkpointing_lowers_the_peak_of_a_step(name: str, layout: str) -> None:
    kept = peak_of_a_step(name, layout, is_checkpointing=False)
    assert peak_of_a_step(name, layout, is_checkpointing=True) < 0.8 * kept


@every_encoder
@every_layout
def test_gradient_checkpointing_repeats_the_dropout_masks(name: str, layout: str) -> None:
    """With other masks in the second run, the gradient would not be the derivative of the loss."""
    encoder = make_encoder(name, **DROPOUT[name], initializer_range=0.1).train()
    encoder.gradient_checkpointing = True
    tokens = in_layout(make_rows([12, 5]), layout)
    gain = encoder.layers[0].feed_forward_norm

    def loss(weight: mx.array) -> mx.array:
        mx.random.seed(3)
        gain.weight = weight
        return real_sum(encoder.encode(tokens), tokens)[0]

    weight, step = mx.ones(32), 1e-2
    direction = mx.random.normal((32,), key=mx.random.key(0))
    slope = float((mx.grad(loss)(weight) * direction).sum())
    rise = float(loss(weight + step * direction) - loss(weight - step * direction))
    assert slope == pytest.approx(rise / (2 * step), rel=FINITE_DIFFERENCE)


@every_encoder
def test_attention_weights_say_who_looks_at_whom(name: str) -> None:
    encoder, tokens = make_encoder(name), make_rows([24, 9])
    weights = encoder.attention_weights(tokens.input_ids, tokens.attention_mask)
    assert [layer.shape for layer in weights] == [(2, 4, 24, 24)] * 3
    half_windows = getattr(encoder.config, "half_windows", (None,) * 3)
    distance = np.abs(np.arange(24)[:, None] - np.arange(24)[None])
    for layer, half_window in zip(weights, half_windows, strict=True):
        values = np.array(layer)
        assert np.allclose(values.sum(axis=-1), 1, atol=1e-5)
        assert (values[1, :, :9, 9:] == 0).all()
        if half_window is not None:
            assert (values[0][:, distance > half_window] == 0).all()
            assert (values[0][:, distance <= half_window] > 0).all()


@every_encoder
def test_attention_weights_change_nothing(name: str) -> None:
    encoder, tokens = make_encoder(name), make_rows([24, 9])
    probabilities: list[mx.array] = []
    looked = encoder.encode(tokens, probabilities)
    fused = encoder.encode(tokens)
    assert largest_difference(real(looked, tokens), real(fused, tokens)) < LAYOUT


@every_encoder
def test_weights_go_to_hugging_face_names_and_back_unchanged(name: str) -> None:
    encoder = make_encoder(name)
    core = ENCODERS[name].core
    ours = named_parameters(encoder)
    theirs = core.unsanitize(ours, encoder.config)
    assert ENCODERS[name].signature in theirs
    back = core.sanitize(theirs, encoder.config)
    assert back.keys() == ours.keys()
    assert all(mx.array_equal(back[key], ours[key]) for key in ours)


@every_encoder
def test_rows_longer_than_the_encoder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"33 tokens.*32 positions.*max_length"):
        make_encoder(name)(mx.zeros((1, 33), dtype=mx.int32))


@every_encoder
def test_wrong_shapes_are_refused_with_the_remedy(name: str) -> None:
    encoder = make_encoder(name)
    with pytest.raises(ValueError, match=r"\[5\], expected \[B, T\]; .*input_ids\[None\]"):
        encoder(mx.zeros(5, dtype=mx.int32))
    with pytest.raises(ValueError, match=r"attention_mask has shape \[1, 4\].*\[1, 5\]"):
        encoder(mx.zeros((1, 5), dtype=mx.int32), mx.ones((1, 4)))


@every_encoder
def test_ids_that_are_no_entries_are_refused(name: str) -> None:
    encoder = make_encoder(name)
    with pytest.raises(
        ValueError, match=r"input_ids go from 0 to 50, .* knows 0 to 49; .*tokenizer"
    ):
        encoder(mx.array([[0, 7, 50]]))
    with pytest.raises(ValueError, match=r"input_ids go from -1 to 7"):
        encoder(mx.array([[-1, 7]]))


@every_encoder
def test_ids_of_another_type_are_refused_with_the_remedy(name: str) -> None:
    encoder = make_encoder(name)
    with pytest.raises(ValueError, match=r"input_ids has type float32.*input_ids.astype"):
        encoder(mx.ones((1, 4)))
    with pytest.raises(ValueError, match=r"token_type_ids has type bool"):
        encoder(mx.ones((1, 4), dtype=mx.int32), None, mx.ones((1, 4)) > 0)
    for dtype in (mx.int64, mx.uint8, mx.uint32):
        assert encoder(mx.ones((1, 4)).astype(dtype)).shape == (1, 4, 32)


def test_token_types_outside_their_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"token_type_ids go from 2 to 2, .* 0 to 1"):
        make_encoder("bert")(mx.zeros((1, 4), dtype=mx.int32), None, mx.full((1, 4), 2))


def test_token_types_matter_to_bert_alone() -> None:
    ids = make_rows([10]).input_ids
    types = mx.array([[0] * 5 + [1] * 5])
    bert, modern = make_encoder("bert"), make_encoder("modernbert")
    assert largest_difference(bert(ids, None, types), bert(ids)) > 1e-2
    assert mx.array_equal(bert(ids, None, mx.zeros_like(types)), bert(ids))
    assert mx.array_equal(modern(ids, None, types), modern(ids))


@every_encoder
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    def drawn(seed: int) -> dict[str, mx.array]:
        mx.random.seed(seed)
        return named_parameters(make_encoder(name))

    first, second, other = drawn(1), drawn(1), drawn(2)
    assert all(mx.array_equal(first[key], second[key]) for key in first)
    assert not mx.array_equal(first["embeddings.words.weight"], other["embeddings.words.weight"])


def test_initial_weights_have_the_published_spread() -> None:
    bert = make_encoder("bert", hidden_size=128, vocab_size=4 * VOCAB_SIZE, initializer_range=0.02)
    words = bert.embeddings.words.weight
    assert float(words.std()) == pytest.approx(0.02, rel=0.05)
    assert float(mx.abs(words).max()) > 0.06  # not cut off
    modern = make_encoder(
        "modernbert", hidden_size=128, num_hidden_layers=2, initializer_range=0.02
    )
    layer = modern.layers[1]
    # A normal distribution cut at 2 deviations has 0.88 of the spread.
    assert float(layer.attention.qkv.weight.std()) == pytest.approx(0.88 * 0.02, rel=0.05)
    assert float(layer.attention.output.weight.std()) == pytest.approx(0.88 * 0.01, rel=0.05)
    assert float(mx.abs(layer.attention.qkv.weight).max()) <= 0.04
    assert "bias" not in layer.attention.qkv
    assert "attention_norm" not in modern.layers[0]
