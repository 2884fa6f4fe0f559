"""LoRAConfig, presets, create_lora_config."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from bert_playground.lookup import look_up, nearest

LARGEST_RANK = 2**14
BIASES = ("none", "lora_only", "all")
# Where our encoders have the projections: module of a layer, which part of its output, and of how many.
# Query, key and value are three thirds of one product.
TARGETS: dict[str, tuple[str, int, int]] = {
    "query": ("attention.qkv", 0, 3),
    "key": ("attention.qkv", 1, 3),
    "value": ("attention.qkv", 2, 3),
    "output": ("attention.output", 0, 1),
    "up": ("feed_forward.up", 0, 1),
    "down": ("feed_forward.down", 0, 1),
}
ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class LoRAConfig:
    """Which layers get an adapter, and of which kind.

    Names mean what they mean in PEFT; the patterns' keys are names or regular expressions that a layer's name ends with,
    such as {"query": 4, "layers.[01].up": 2}, and the first that fits decides.

    Attributes:
        r: the rank.
        alpha: the update is scaled by alpha / r.
        dropout: on the adapter's input.
        target_modules: names in TARGETS, names of Hugging Face or the ends of them (Wqkv, attention.self.query), one
            regular expression for the whole name, or "all-linear" for each linear layer of the encoder.
        rank_pattern: layers with another r.
        alpha_pattern: layers with another alpha.
        layers_to_transform: numbers of the layers that are adapted; None: all.
        bias: which biases are trained too: none, those of the adapted layers (lora_only) or all.
        modules_to_save: modules trained in full and saved with the adapter; a head always is.
        use_rslora: scale by alpha / sqrt(r), so that high ranks learn as fast (Kalajdzievski 2023, arXiv 2312.03732).
        use_dora: train the length of each row apart from its direction (Liu et al. 2024, arXiv 2402.09353).
        bits: 4 or 8: quantize the frozen encoder first (QLoRA, Dettmers et al. 2023, arXiv 2305.14314); None: leave it.
        group_size: weights that share a scale where `bits` is given.
    """

    r: int = 8
    alpha: float = 16.0
    dropout: float = 0.1
    target_modules: tuple[str, ...] | str = ("query", "value")
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    layers_to_transform: tuple[int, ...] | None = None
    bias: str = "none"
    modules_to_save: tuple[str, ...] = ()
    use_rslora: bool = False
    use_dora: bool = False
    bits: int | None = None
    group_size: int = 64

    def __post_init__(self) -> None:
        for name in ("target_modules", "modules_to_save", "layers_to_transform"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str | tuple):
                value = (value,) if isinstance(value, int) else tuple(value)
            object.__setattr__(self, name, value)
        if isinstance(self.modules_to_save, str):
            object.__setattr__(self, "modules_to_save", (self.modules_to_save,))
        wrong = [*self._wrong_numbers(), *self._wrong_names()]
        if wrong:
            raise ValueError(f"impossible LoRA config: {'; '.join(wrong)}")

    def _wrong_numbers(self) -> list[str]:
        ranks = {"r": self.r, **{f"rank_pattern[{k!r}]": v for k, v in self.rank_pattern.items()}}
        alphas = {"alpha": self.alpha}
        alphas |= {f"alpha_pattern[{key!r}]": value for key, value in self.alpha_pattern.items()}
        wrong = [
            f"{name} is {value}, expected a whole number from 1 to {LARGEST_RANK}"
            for name, value in ranks.items()
            if not 1 <= value <= LARGEST_RANK or value != int(value)
        ]
        wrong += [
            f"{name} is {value}, expected more than 0"
            for name, value in alphas.items()
            if not 0 < value < math.inf
        ]
        if not 0 <= self.dropout < 1:
            wrong.append(f"dropout is {self.dropout}, expected at least 0 and below 1")
        return wrong

    def _wrong_names(self) -> list[str]:
        wrong = []
        if not self.target_modules:
            wrong.append(f"target_modules is empty; name some of {', '.join(TARGETS)}")
        if self.bias not in BIASES:
            wrong.append(
                f"unknown bias {self.bias!r}{nearest(self.bias, BIASES)} (known: {', '.join(BIASES)})"
            )
        if self.layers_to_transform == ():
            wrong.append("layers_to_transform is empty; leave it out to adapt all layers")
        return wrong

    def scale_of(self, rank: int, alpha: float) -> float:
        """The factor of an update of this rank."""
        return alpha / rank**0.5 if self.use_rslora else alpha / rank

    def alpha_of(self, rank: int, scale: float) -> float:
        """The alpha that gives an update of this rank the factor `scale`."""
        return scale * rank**0.5 if self.use_rslora else scale * rank

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; unknown keys are ignored."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


ATTENTION = ("query", "key", "value")
# One's own is one line: LORA_PRESETS["mine"] = LoRAConfig(...)
LORA_PRESETS: dict[str, LoRAConfig] = {
    "efficient": LoRAConfig(r=4, alpha=8.0),
    "balanced": LoRAConfig(r=8, alpha=16.0, target_modules=ATTENTION),
    "expressive": LoRAConfig(r=16, alpha=32.0, target_modules=tuple(TARGETS)),
    "rslora": LoRAConfig(r=32, alpha=16.0, target_modules=ATTENTION, use_rslora=True),
    "dora": LoRAConfig(r=8, alpha=16.0, target_modules=ATTENTION, use_dora=True),
    "qlora_memory": LoRAConfig(r=8, alpha=16.0, target_modules=tuple(TARGETS), bits=4),
}


def create_lora_config(preset: str = "balanced", **options: Any) -> LoRAConfig:
    """A preset, with single fields replaced.

    Raises:
        ValueError: no such preset, no such field, or impossible values.
    """
    known = {item.name for item in fields(LoRAConfig)}
    unknown = [f"{name!r}{nearest(name, known)}" for name in options if name not in known]
    if unknown:
        raise ValueError(
            f"unknown LoRA option {', '.join(unknown)} (known: {', '.join(sorted(known))})"
        )
    return replace(look_up(LORA_PRESETS, preset, "LoRA preset"), **options)
