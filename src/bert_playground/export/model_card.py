"""Card: the README.md of an exported model, with figures that its run measured and no others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.targets.forecast import HorizonEncoder
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.export.hub_contents import without_folders
from bert_playground.jinja_templates import open_templates
from bert_playground.models.checkpoint import SHARED_HEADS
from bert_playground.models.hub_files import HUB_ID
from bert_playground.run_record import RunRecord

TEMPLATES = open_templates(Path(__file__).parent)
TEMPLATES.filters["without_folders"] = without_folders


@dataclass(frozen=True)
class Card:
    """What model_card.md.jinja tells.

    Attributes:
        config: the config.json beside it.
        num_parameters: of encoder and head.
        pipeline: how rows become text, where that is known.
        record: of the run, where there was one.
        metrics: of the checkpoint, on the validation rows of the run.
        notes: what the reader has to know.
        difference: of the answers of the folder, read back, from those of the checkpoint.
    """

    config: Mapping[str, Any]
    num_parameters: int
    pipeline: TextPipeline | None
    record: RunRecord | None
    metrics: Mapping[str, float]
    notes: tuple[str, ...]
    difference: float

    def text(self) -> str:
        """The whole card."""
        return TEMPLATES.get_template("model_card.md.jinja").render(
            card=self,
            config=self.config,
            pipeline=self.pipeline,
            record=self.record,
            summary=None if self.record is None else self.record.summary,
            version=own_version(),
        )

    @property
    def header(self) -> str:
        """The metadata that the Hub reads, as YAML."""
        return ModelCardData(
            library_name="transformers",
            pipeline_tag="text-classification" if self.is_classifier else "feature-extraction",
            tags=["bert-playground", "mlx", "tabular", self.config["model_type"]],
            base_model=self.base_model,
        ).to_yaml()

    @property
    def is_classifier(self) -> bool:
        """Whether transformers reads the head too."""
        return "ForSequenceClassification" in str(self.config["architectures"][0])

    @property
    def model_class(self) -> str:
        """Of transformers, that reads the folder."""
        return "AutoModelForSequenceClassification" if self.is_classifier else "AutoModel"

    @property
    def base_model(self) -> str | None:
        """The Hub id of what was fine-tuned; a path on somebody's disk says nothing to others."""
        name = None if self.record is None else self.record.setting("model.pretrained")
        return name if name and HUB_ID.fullmatch(name) and not Path(name).exists() else None

    @property
    def has_plain_head(self) -> bool:
        """Whether transformers lacks the head, and pooling and a product are all of it."""
        head = self.config["head"]
        is_plain = head["transform"] == "none" and head["head_type"] in SHARED_HEADS
        has_more = head["uncertainty_estimation"] or head["use_temporal_features"]
        return not self.is_classifier and is_plain and not has_more

    @property
    def needs_torch(self) -> bool:
        """Whether the code of the card names torch itself."""
        is_masked = self.has_plain_head and self.config["head"]["pooling"] in ("max", "attention")
        is_number = self.config["problem_type"] == "regression"
        return is_masked or (is_number and "torch." in self.values_code)

    @property
    def values_code(self) -> str:
        """Standardised answers in the units of the table, as Python."""
        labels = self.pipeline.labels if self.pipeline else None
        if isinstance(labels, HorizonEncoder):
            scales, means = list(labels.scales), list(labels.means)
            code = f"logits * torch.tensor({scales}) + torch.tensor({means})"
            return f"torch.expm1({code})" if labels.uses_log else code
        if not isinstance(labels, LabelEncoder):
            return "logits"
        code = f"logits[:, 0] * {labels.scale!r} + {labels.mean!r}"
        return f"({code}).expm1()" if labels.uses_log else code

    def training_facts(self) -> Iterator[tuple[str, Any]]:
        """How the run went; None: not known."""
        assert self.record is not None
        return training_facts(self.record)


def training_facts(record: RunRecord) -> Iterator[tuple[str, Any]]:
    """How a run went, as names and values; None: not known."""
    summary, machine = record.summary, record.environment
    for name in ("train_rows", "val_rows", "epochs", "steps", "trained_parameters"):
        yield name.replace("_", " "), getattr(summary, name)
    yield "batch size", record.setting("training.batch_size")
    yield "activations", summary.precision
    yield "seconds", None if summary.seconds is None else f"{summary.seconds:.0f}"
    yield "seed", machine.seed
    yield "computed by", machine.computed_by
    yield "commit", machine.git_commit
    versions = [f"{name} {number}" for name, number in machine.versions.items() if number]
    yield "versions", ", ".join(versions)


def own_version() -> str:
    """The version that writes a card."""
    try:
        return version("bert-playground")
    except PackageNotFoundError:
        return "(not installed)"
