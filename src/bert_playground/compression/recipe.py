"""Recipe: what a smaller encoder keeps of the full one, and how it is recovered."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from bert_playground.lookup import look_up
from bert_playground.models.quantized_layers import GROUP_SIZES

LayerChoice = Literal["importance", "spread", "first"]
LAYER_CHOICES: tuple[LayerChoice, ...] = get_args(LayerChoice)
WIDTH_STEP = 32  # neurons are kept in multiples, so that groups of quantized weights divide them


@dataclass(frozen=True)
class Shape:
    """The sizes of an encoder that a recipe changes.

    Attributes:
        layers: L.
        heads: N, in each layer.
        neurons: F, the width of the feed-forward in each layer.
        hidden_size: H.
    """

    layers: int
    heads: int
    neurons: int
    hidden_size: int

    @classmethod
    def of(cls, config: Any) -> "Shape":
        """The sizes that an encoder's config states."""
        neurons = getattr(config, "feed_forward_size", None) or config.intermediate_size
        return cls(
            config.num_hidden_layers, config.num_attention_heads, neurons, config.hidden_size
        )

    @property
    def width_step(self) -> int:
        """What the number of kept neurons is a multiple of."""
        return next(step for step in (WIDTH_STEP, 8, 1) if self.neurons % step == 0)


@dataclass(frozen=True)
class Recipe:
    """One way to make an encoder smaller; None keeps what the full one has.

    Attributes:
        layers: how many are kept.
        heads: how many attention heads each layer keeps, the most important ones.
        neurons: how many neurons each feed-forward keeps, the most important ones.
        layer_choice: which layers: by what leaving each out costs, spread evenly, or the first ones.
        bits: of quantized weights, 4 or 8; None: full ones.
    """

    layers: int | None = None
    heads: int | None = None
    neurons: int | None = None
    layer_choice: LayerChoice = "importance"
    bits: int | None = None

    def filled(self, shape: Shape) -> "Recipe":
        """The same with the sizes of the full encoder where it keeps them.

        Raises:
            ValueError: it keeps more than there is, or a number that cannot be; all are listed.
        """
        wrong = []
        sizes = {"layers": shape.layers, "heads": shape.heads, "neurons": shape.neurons}
        for name, most in sizes.items():
            asked = getattr(self, name)
            if asked is not None and not 1 <= asked <= most:
                wrong.append(f"{name} is {asked}, expected 1 to {most}, which the full model has")
        step = shape.width_step
        if self.neurons is not None and self.neurons % step:
            nearest = max(step, round(self.neurons / step) * step)
            wrong.append(
                f"neurons (--ffn) is {self.neurons}, expected a multiple of {step} such as {nearest}"
            )
        if self.bits not in (None, 4, 8):
            wrong.append(f"bits is {self.bits}, expected 4 or 8")
        if wrong:
            raise ValueError(f"impossible recipe: {'; '.join(wrong)}")
        look_up(dict.fromkeys(LAYER_CHOICES), self.layer_choice, "choice of layers")
        kept = {name: getattr(self, name) or most for name, most in sizes.items()}
        return Recipe(**kept, layer_choice=self.layer_choice, bits=self.bits)

    @property
    def name(self) -> str:
        """For folders: such as l3-h12-n768-importance-8bit."""
        parts = [f"l{self.layers}", f"h{self.heads}", f"n{self.neurons}", self.layer_choice]
        return "-".join(parts if self.bits is None else [*parts, f"{self.bits}bit"])

    def describe(self, shape: Shape) -> str:
        """In words, only what is less than in the full encoder."""
        said = [
            f"{kept} of {most} {what}"
            for kept, most, what in (
                (self.layers, shape.layers, f"layers ({self.layer_choice})"),
                (self.heads, shape.heads, "heads"),
                (self.neurons, shape.neurons, "neurons"),
            )
            if kept not in (None, most)
        ]
        said += [] if self.bits is None else [f"{self.bits} bits"]
        return ", ".join(said) or "every layer, head and neuron"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def fitting_group(widths: Sequence[int]) -> int | None:
    """The largest group of quantized weights that divides all widths; None: none does."""
    return next(
        (size for size in sorted(GROUP_SIZES, reverse=True) if not any(w % size for w in widths)),
        None,
    )
