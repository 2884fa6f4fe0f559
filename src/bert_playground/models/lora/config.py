"""LoRAConfig, presets, create_lora_config."""

from dataclasses import dataclass, replace
from typing import Any

from bert_playground.lookup import look_up, nearest

# Short names and where they are in our encoders: module of a layer, and which part of its output.
# Query, key and value are three thirds of one product.
TARGETS: dict[str, tuple[str, int, int]] = {
    "query": ("attention.qkv", 0, 3),
    "key": ("attention.qkv", 1, 3),
    "value": ("attention.qkv", 2, 3),
    "output": ("attention.output", 0, 1),
    "up": ("feed_forward.up", 0, 1),
    "down": ("feed_forward.down", 0, 1),
}


@dataclass(frozen=True)
class LoRAConfig:
    """Which projections get an adapter, and of which rank.

    Attributes:
        r: the rank.
        alpha: the update is scaled by alpha / r.
        dropout: on the adapter's input.
        target_modules: names in TARGETS.
    """

    r: int = 8
    alpha: float = 16.0
    dropout: float = 0.1
    target_modules: tuple[str, ...] = ("query", "value")

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_modules", tuple(self.target_modules))
        wrong = [
            f"unknown target module {name!r}{nearest(name, TARGETS)} (known: {', '.join(TARGETS)})"
            for name in self.target_modules
            if name not in TARGETS
        ]
        if not self.target_modules:
            wrong.append("target_modules is empty")
        if self.r < 1:
            wrong.append(f"r is {self.r}, expected at least 1")
        if self.alpha <= 0:
            wrong.append(f"alpha is {self.alpha}, expected more than 0")
        if not 0 <= self.dropout < 1:
            wrong.append(f"dropout is {self.dropout}, expected at least 0 and below 1")
        if wrong:
            raise ValueError(f"impossible LoRA config: {'; '.join(wrong)}")

    @property
    def scale(self) -> float:
        """The factor of the update."""
        return self.alpha / self.r


LORA_PRESETS: dict[str, LoRAConfig] = {
    "efficient": LoRAConfig(r=4, alpha=8.0),
    "balanced": LoRAConfig(r=8, alpha=16.0, target_modules=("query", "key", "value")),
    "expressive": LoRAConfig(r=16, alpha=32.0, target_modules=tuple(TARGETS)),
}


def create_lora_config(preset: str = "balanced", **options: Any) -> LoRAConfig:
    """A preset, with single fields replaced.

    Raises:
        ValueError: no such preset, or impossible values.
    """
    return replace(look_up(LORA_PRESETS, preset, "LoRA preset"), **options)
