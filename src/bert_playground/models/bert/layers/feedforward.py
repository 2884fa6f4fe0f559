"""FeedForward, GatedFeedForward: the sublayer that looks at each token alone."""

import math
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.lookup import look_up
from bert_playground.models.tokenwise import Initializer, Linear


def gelu_tanh(x: mx.array) -> mx.array:
    """The tanh approximation of GELU, up to 5e-4 beside the erf form."""
    return x * ((1 + mx.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2)


def silu(x: mx.array) -> mx.array:
    """X sigmoid(x), also called swish."""
    return x * mx.sigmoid(x)


# Under the names that transformers gives them in hidden_act.
ACTIVATIONS: dict[str, Callable[[mx.array], mx.array]] = {
    "gelu": kernels.gelu,
    "gelu_python": kernels.gelu,
    "gelu_new": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "quick_gelu": lambda x: x * mx.sigmoid(1.702 * x),
    "relu": lambda x: mx.maximum(x, 0),
    "relu2": lambda x: mx.square(mx.maximum(x, 0)),
    "silu": silu,
    "swish": silu,
    "tanh": mx.tanh,
    "mish": lambda x: x * mx.tanh(mx.logaddexp(x, mx.array(0, x.dtype))),
}
FUSED: dict[str, kernels.Activation] = {"gelu": "gelu", "gelu_python": "gelu"}
FUSED_GATED: dict[str, kernels.Activation] = {
    "gelu": "geglu",
    "gelu_python": "geglu",
    "silu": "swiglu",
    "swish": "swiglu",
}


class FeedForward(nn.Module):
    """down(activation(up(x)))."""

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        *,
        activation: str = "gelu",
        bias: bool,
        initialize: Initializer,
    ) -> None:
        super().__init__()
        self.up = Linear(hidden_size, intermediate_size, bias=bias, initialize=initialize)
        self.down = Linear(intermediate_size, hidden_size, bias=bias, initialize=initialize)
        self._activate = look_up(ACTIVATIONS, activation, "activation")
        self.fused_activation = FUSED.get(activation)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [..., H] to [..., H]."""
        if self.fused_activation:
            inner = self.up(x, self.fused_activation)
        else:
            inner = self._activate(self.up(x))
        return self.down(inner)


class GatedFeedForward(nn.Module):
    """down(dropout(activation(first half of up(x)) * second half)): GeGLU with gelu, SwiGLU with silu."""

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        *,
        activation: str = "gelu",
        bias: bool,
        dropout_rate: float = 0.0,
        initialize: Initializer,
        initialize_output: Initializer,
    ) -> None:
        super().__init__()
        self.up = Linear(hidden_size, 2 * intermediate_size, bias=bias, initialize=initialize)
        self.down = Linear(intermediate_size, hidden_size, bias=bias, initialize=initialize_output)
        self.dropout_rate = dropout_rate
        self._activate = look_up(ACTIVATIONS, activation, "activation")
        self.fused_activation = FUSED_GATED.get(activation)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [..., H] to [..., H]."""
        if self.fused_activation:
            inner = self.up(x, self.fused_activation)
        else:
            value, gate = mx.split(self.up(x), 2, axis=-1)
            inner = kernels.finite(self._activate(value) * gate)
        return self.down(kernels.dropout(inner, self.dropout_rate if self.training else 0.0))
