"""QuantizedLinear and QuantizedEmbedding: the products of the weights that they stand for, gradients, refusals."""

import mlx.core as mx
import mlx.nn as nn
import pytest

from bert_playground import kernels
from bert_playground.models.quantized_layers import QuantizedEmbedding, QuantizedLinear
from bert_playground.models.tokenwise import Embedding, Linear, normal
from tests.models.tiny import largest_difference
from tests.pairwise import pairwise
from tests.tolerances import KERNEL, KERNEL_BF16

SIZES = [(32, 4), (64, 4), (128, 4), (32, 8), (64, 8), (128, 8)]
DOORS = ["native", "mlx"]
every_size = pytest.mark.parametrize(("group_size", "bits"), SIZES)


@pytest.fixture(params=DOORS, autouse=True)
def _door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "mlx":
        monkeypatch.setattr(kernels, "_native", None)
    elif not kernels.is_native():
        pytest.skip("the native kernels are not installed")
    return


def make_linear(num_inputs: int = 128, num_outputs: int = 24, *, bias: bool = True) -> Linear:
    linear = Linear(num_inputs, num_outputs, bias=bias, initialize=normal(1.0))
    if bias:
        linear.bias = mx.random.normal((num_outputs,))
    return linear


@pytest.mark.parametrize(
    ("_door", "size", "dtype", "activation", "shape"),
    pairwise(
        DOORS,
        SIZES,
        [mx.float32, mx.bfloat16],
        ["none", "gelu", "geglu", "swiglu"],
        [(7, 128), (2, 5, 128)],
    ),
    indirect=["_door"],
)
def test_a_product_is_that_of_the_full_weight(
    size: tuple[int, int],
    dtype: mx.Dtype,
    activation: kernels.Activation,
    shape: tuple[int, ...],
) -> None:
    group_size, bits = size
    linear = make_linear()
    layer = QuantizedLinear.from_linear(linear, group_size, bits)
    x = mx.random.normal(shape).astype(dtype)
    y = layer(x, activation)
    linear.weight = layer.full_weight()
    wanted = linear(x.astype(mx.float32), activation)
    assert (y.dtype, y.shape) == (dtype, wanted.shape)
    assert largest_difference(y, wanted) < (KERNEL if dtype == mx.float32 else KERNEL_BF16)


@every_size
def test_full_weight_is_within_half_a_step_of_the_weight(group_size: int, bits: int) -> None:
    linear = make_linear(bias=False)
    layer = QuantizedLinear.from_linear(linear, group_size, bits)
    groups = linear.weight.reshape(24, -1, group_size)
    # MLX makes the step a little wider than (max - min) / (2^bits - 1), so that 0 stays 0.
    step = (groups.max(axis=-1) - groups.min(axis=-1)) / (2**bits - 1)
    away = mx.abs(layer.full_weight() - linear.weight).reshape(24, -1, group_size).max(axis=-1)
    assert layer.full_weight().dtype == mx.float32
    assert bool((away <= step).all())
    assert "bias" not in layer


def test_gradients_reach_x_and_not_the_weight() -> None:
    layer = QuantizedLinear.from_linear(make_linear())
    x, cotangent = mx.random.normal((3, 128)), mx.random.normal((3, 24))
    (dx,) = mx.vjp(layer, [x], [cotangent])[1]
    assert largest_difference(dx, cotangent @ layer.full_weight()) < KERNEL
    assert layer.trainable_parameters() == {}


def test_unfreezing_frees_the_bias_alone() -> None:
    layer = QuantizedLinear.from_linear(make_linear())
    model = nn.Sequential(layer)
    model.unfreeze()
    assert set(layer.trainable_parameters()) == {"bias"}
    model.freeze()
    assert layer.trainable_parameters() == {}
    model.unfreeze(keys=["weight", "scales", "bias"])
    assert set(layer.trainable_parameters()) == {"bias"}
    loss = nn.value_and_grad(model, lambda x: mx.square(model(x)).sum())
    _, gradients = loss(mx.random.normal((3, 128)))
    assert list(gradients["layers"][0]) == ["bias"]


def test_a_layer_turned_back_computes_the_same() -> None:
    layer = QuantizedLinear.from_linear(make_linear().eval())
    linear = layer.to_full()
    x = mx.random.normal((3, 128))
    assert largest_difference(linear(x), layer(x)) < KERNEL
    assert set(linear.trainable_parameters()) == {"weight", "bias"}
    assert not linear.training


def test_it_takes_a_quarter_of_the_memory_and_a_little() -> None:
    layer = QuantizedLinear.from_linear(make_linear(256, 256, bias=False), 64, 4)
    taken = sum(array.nbytes for array in layer.parameters().values())
    assert taken == 256 * 256 // 2 + 256 * 4 * 2 * 4  # half a byte each, and per group two f32


@every_size
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_an_embedding_gives_the_rows_of_its_full_weight(
    group_size: int, bits: int, dtype: mx.Dtype
) -> None:
    table = QuantizedEmbedding.from_embedding(
        Embedding(50, 128, initialize=normal(1.0)), group_size, bits
    )
    for ids in (mx.array([3, 49, 0, 3]), mx.array([[1, 2], [3, 4]])):
        rows = table(ids, dtype)
        assert rows.dtype == dtype
        assert largest_difference(rows, table.full_weight()[ids].astype(dtype)) < KERNEL
    assert table.trainable_parameters() == {}


def test_it_compiles_and_follows_new_weights() -> None:
    layer = QuantizedLinear.from_linear(make_linear())
    x = mx.random.normal((3, 128))
    compiled = mx.compile(layer, inputs=[layer])
    assert largest_difference(compiled(x), layer(x)) == 0
    layer.update(QuantizedLinear.from_linear(make_linear()).parameters())
    assert largest_difference(compiled(x), layer(x)) == 0


@pytest.mark.parametrize(
    ("width", "group_size", "bits", "message"),
    [
        (96, 64, 4, "rows of 96 weights have no whole groups of 64; use group_size=32"),
        (192, 128, 4, "use group_size=64"),
        (40, 32, 4, "40 is no multiple of 32, 64, 128"),
        (128, 48, 4, "group_size is 48, expected one of 32, 64, 128; the nearest is 32"),
        (128, 64, 3, "bits is 3, expected one of 4, 8"),
    ],
)
def test_what_cannot_be_quantized_is_refused(
    width: int, group_size: int, bits: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        QuantizedLinear.from_linear(make_linear(width, bias=False), group_size, bits)
    with pytest.raises(ValueError, match=message):
        QuantizedEmbedding.from_embedding(
            Embedding(5, width, initialize=normal(1.0)), group_size, bits
        )
