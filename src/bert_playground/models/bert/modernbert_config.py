"""ModernBertConfig: the shape of a ModernBERT."""

from collections.abc import Mapping
from dataclasses import InitVar, asdict, dataclass, fields
from typing import Any, Self

from bert_playground.lookup import look_up
from bert_playground.models.bert.config import (
    BIDIRECTIONAL,
    check_fixed,
    check_numeric_tokens,
    check_rope,
    check_sizes,
    check_token_ids,
    without_unused,
)
from bert_playground.models.bert.layers.feedforward import ACTIVATIONS

FULL, SLIDING = "full_attention", "sliding_attention"
PUBLISHED_THETA = {FULL: 160_000.0, SLIDING: 10_000.0}
PUBLISHED_TOKEN_IDS = {
    "pad_token_id": 50283,
    "bos_token_id": 50281,
    "eos_token_id": 50282,
    "cls_token_id": 50281,
    "sep_token_id": 50282,
}


@dataclass(frozen=True)
class ModernBertConfig:
    """Sizes and rates under their Hugging Face names; the defaults are those of ModernBERT-base.

    `layer_types` says which layers see the whole row; when it is None, each n-th does
    (`global_attn_every_n_layers`). A token of a local layer sees the keys at distance <= local_attention // 2.
    `norm_type` "rms" and `hidden_activation` "silu" (SwiGLU) are options that no published checkpoint uses.

    Two more spellings are accepted: `rope_theta` for `global_rope_theta`, and `alternating_attention=False` to give
    every layer full attention.
    """

    model_type = "modernbert"
    # In the config.json of an encoder that the published code would read, and compute otherwise.
    own_model_type = "bert_playground_modernbert"

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    initializer_cutoff_factor: float = 2.0
    norm_eps: float = 1e-5
    norm_bias: bool = False
    norm_type: str = "layer"
    attention_bias: bool = False
    attention_dropout: float = 0.0
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    global_attn_every_n_layers: int = 3
    layer_types: tuple[str, ...] | None = None
    local_attention: int = 128
    global_rope_theta: float = PUBLISHED_THETA[FULL]
    local_rope_theta: float | None = PUBLISHED_THETA[SLIDING]  # None: like the global one
    classifier_pooling: str = "mean"
    classifier_dropout: float = 0.0
    classifier_bias: bool = False
    numeric_tokens: tuple[tuple[int, int], ...] = ()
    num_ramps: int = 32
    head_dim: int | None = (
        None  # of an encoder that lost heads; None: hidden_size / num_attention_heads
    )
    pad_token_id: int | None = 50283
    bos_token_id: int | None = 50281
    eos_token_id: int | None = 50282
    cls_token_id: int | None = 50281
    sep_token_id: int | None = 50282
    rope_theta: InitVar[float | None] = None
    alternating_attention: InitVar[bool] = True

    def __post_init__(self, rope_theta: float | None, alternating_attention: bool) -> None:
        if rope_theta is not None:
            object.__setattr__(self, "global_rope_theta", float(rope_theta))
        if not alternating_attention:
            object.__setattr__(self, "global_attn_every_n_layers", 1)
        check_sizes(self, is_rotary=True)
        look_up(ACTIVATIONS, self.hidden_activation, "activation")
        if self.norm_type not in ("layer", "rms"):
            raise ValueError(f"norm_type is {self.norm_type!r}, expected 'layer' or 'rms'")
        self._complete_layer_types()
        check_numeric_tokens(self)
        # A vocabulary of another size has other special tokens: the published id says nothing there.
        for name, published in PUBLISHED_TOKEN_IDS.items():
            if getattr(self, name) == published >= self.vocab_size:
                object.__setattr__(self, name, None)
        check_token_ids(self, PUBLISHED_TOKEN_IDS)

    def _complete_layer_types(self) -> None:
        layers = range(self.num_hidden_layers)
        every = self.global_attn_every_n_layers
        types = self.layer_types or [SLIDING if i % every else FULL for i in layers]
        object.__setattr__(self, "layer_types", tuple(types))
        unknown = sorted(set(types) - {FULL, SLIDING})
        if unknown or len(types) != self.num_hidden_layers:
            raise ValueError(
                f"layer_types must hold {self.num_hidden_layers} times {FULL!r} or {SLIDING!r}, got {list(types)}"
            )

    @property
    def half_windows(self) -> tuple[int | None, ...]:
        """Per layer: how far a token sees, None for the whole row."""
        assert self.layer_types is not None
        half = self.local_attention // 2
        return tuple(half if kind == SLIDING else None for kind in self.layer_types)

    def theta(self, half_window: int | None) -> float:
        """The base of the rotary angles in a layer with this window."""
        is_local = half_window is not None and self.local_rope_theta is not None
        return float(self.local_rope_theta if is_local else self.global_rope_theta)  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a Hugging Face config.json as transformers 4 or 5 writes it; unknown keys are ignored.

        Raises:
            ValueError: impossible sizes, or rotary angles scaled in a way that is not implemented.
        """
        check_fixed(values, BIDIRECTIONAL, cls.model_type)
        check_rope(values)
        known = {field.name for field in fields(cls)} | {"rope_theta", "alternating_attention"}
        given = {key: value for key, value in values.items() if key in known}
        # Files leave out what equals the class default of transformers, and that is "cls".
        given.setdefault("classifier_pooling", "cls")
        if given.get("layer_types") is not None:
            given["layer_types"] = tuple(given["layer_types"])
        if "local_attention" not in given and values.get("sliding_window") is not None:
            given["local_attention"] = 2 * values["sliding_window"]  # some tools write half of it
        for kind, key in ((FULL, "global_rope_theta"), (SLIDING, "local_rope_theta")):
            theta = _theta(values.get("rope_parameters"), kind)
            if theta is not None:
                given[key] = theta
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """The same as a Hugging Face config.json that transformers 4 and 5 both read, or with RMS norms both refuse."""
        values = asdict(self) | {"layer_types": list(self.layer_types or ())}
        thetas = {FULL: self.theta(None), SLIDING: self.theta(self.local_attention)}
        values["local_rope_theta"] = thetas[SLIDING]
        values["rope_parameters"] = {
            kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()
        }
        is_published = (
            self.norm_type == "layer" and not self.numeric_tokens and self.head_dim is None
        )
        model_type = self.model_type if is_published else self.own_model_type
        return without_unused({"model_type": model_type, **values})

    def head_options(self) -> dict[str, Any]:
        """What a head on this encoder is like when nothing else is asked: HF's prediction head and classifier."""
        return {
            "hidden_size": self.hidden_size,
            "pooling": self.classifier_pooling,
            "transform": "gelu_norm",
            "transform_bias": self.classifier_bias,
            "norm_bias": self.norm_bias,
            "norm_eps": self.norm_eps,
            "hidden_dropout_prob": self.classifier_dropout,
            "dense_std": self.initializer_range / (2 * self.num_hidden_layers) ** 0.5,
            "classifier_std": self.hidden_size**-0.5,
            "initializer_cutoff": self.initializer_cutoff_factor,
        }


def _theta(rope_parameters: Mapping[str, Any] | None, kind: str) -> float | None:
    """The base for one kind of layer in the spelling of transformers 5, or None; one base may serve both kinds."""
    parameters = rope_parameters or {}
    theta: float | None = (parameters.get(kind) or parameters).get("rope_theta")
    return theta
