"""Card: the README.md of an exported model, with figures that its run measured and no others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.targets.forecast import HorizonEncoder
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.models.checkpoint import SHARED_HEADS
from bert_playground.models.hub_files import HUB_ID
from bert_playground.run_record import RunRecord

READ_ROWS = """```python
from pathlib import Path

from bert_playground.data.reading.table import read_table
from bert_playground.data.pipeline import TextPipeline

texts = TextPipeline.load(Path("path/to/this/folder")).text(read_table(Path("test.csv"))).to_list()
```"""

POOLING_CODE = {
    "cls": ["pooled = hidden[:, 0]"],
    "mean": ["pooled = (hidden * mask).sum(1) / mask.sum(1)"],
    "max": ["pooled = hidden.masked_fill(~mask, -torch.inf).max(1).values"],
    "attention": [
        'scores = hidden @ weights["attention_pooler.weight"].T / hidden.shape[-1] ** 0.5',
        "pooled = (scores.masked_fill(~mask, -torch.inf).softmax(1) * hidden).sum(1)",
    ],
}


@dataclass(frozen=True)
class Card:
    """What a model card tells.

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

    @property
    def is_classifier(self) -> bool:
        """Whether transformers reads the head too."""
        return "ForSequenceClassification" in str(self.config["architectures"][0])

    @property
    def base_model(self) -> str | None:
        """The Hub id of what was fine-tuned; a path on somebody's disk says nothing to others."""
        name = None if self.record is None else self.record.setting("model.pretrained")
        return name if name and HUB_ID.fullmatch(name) and not Path(name).exists() else None

    def text(self) -> str:
        """The whole card."""
        parts = [
            self._front_matter(),
            self._opening(),
            self._use(),
            *([self._reading()] if self.pipeline else []),
            self._figures(),
            *([self._training()] if self.record else []),
            self._limits(),
        ]
        return "\n\n".join(parts) + "\n"

    def _front_matter(self) -> str:
        lines = [
            "library_name: transformers",
            f"pipeline_tag: {'text-classification' if self.is_classifier else 'feature-extraction'}",
            f"tags: [bert-playground, mlx, tabular, {self.config['model_type']}]",
            *([f"base_model: {self.base_model}"] if self.base_model else []),
        ]
        return "\n".join(["---", *lines, "---"])

    def _opening(self) -> str:
        config, pipeline = self.config, self.pipeline
        title = (
            f"{pipeline.target} from rows of a table" if pipeline else config["architectures"][0]
        )
        size = (
            f"A {config['model_type']} encoder of {config['num_hidden_layers']} layers and width "
            f"{config['hidden_size']} with a {config['head']['head_type']} head: {self.num_parameters:,} parameters"
        )
        origin = ""
        if self.record is not None:
            was_pretrained = self.record.setting("model.pretrained")
            came_from = self.base_model or "a pretrained checkpoint"
            origin = (
                f", fine-tuned from {came_from}" if was_pretrained else ", trained from scratch"
            )
        answers = (
            f" It answers `{pipeline.target}` ({pipeline.task}) from a row written as text."
            if pipeline
            else ""
        )
        made = f"Written by bert-playground {_version()}."
        return f"# {title}\n\n{size}{origin}.{answers} {made}"

    def _use(self) -> str:
        model_class = "AutoModelForSequenceClassification" if self.is_classifier else "AutoModel"
        trusted = ", trust_remote_code=True" if "auto_map" in self.config else ""
        head = [] if self.is_classifier else self._head_code()
        code = [
            *(
                ["import torch"]
                if any("torch." in line for line in [*head, self._answer()])
                else []
            ),
            *(["from safetensors.torch import load_file"] if head else []),
            f"from transformers import {model_class}, AutoTokenizer",
            "",
            'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
            f'model = {model_class}.from_pretrained("path/to/this/folder"{trusted}).eval()',
            'inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")',
            *(["logits = model(**inputs).logits"] if self.is_classifier else []),
            *([] if self.is_classifier else ["hidden = model(**inputs).last_hidden_state"]),
            *head,
            *([self._answer()] if self.is_classifier or head else []),
        ]
        lines = ["## Use", "", "```python", *code, "```"]
        if self.pipeline:
            lines += [
                "",
                "`texts` are rows as the model was trained to read them:",
                "",
                READ_ROWS,
                "",
            ]
            lines += [
                "Or all in one: `bert predict --test test.csv --checkpoint path/to/this/folder`."
            ]
        return "\n".join(lines)

    def _answer(self) -> str:
        """Python that makes answers of logits."""
        return {
            "single_label_classification": "probabilities = logits.softmax(-1)  # columns as in model.config.id2label",
            "multi_label_classification": "probabilities = logits.sigmoid()  # columns as in model.config.id2label",
            "regression": f"values = {self._in_units('logits')}",
        }[str(self.config["problem_type"])]

    def _head_code(self) -> list[str]:
        """Python for a head that transformers does not have; [] where it takes more than pooling and a product."""
        head = self.config["head"]
        if head["transform"] != "none" or head["head_type"] not in SHARED_HEADS:
            return []
        if head["uncertainty_estimation"] or head["use_temporal_features"]:
            return []
        return [
            'weights = load_file("path/to/this/folder/model.safetensors")',
            'mask = inputs["attention_mask"][..., None].bool()',
            *POOLING_CODE[head["pooling"]],
            'logits = pooled @ weights["classifier.weight"].T + weights["classifier.bias"]',
        ]

    def _in_units(self, logits: str) -> str:
        """Standardised answers in the units of the table, as Python."""
        labels = self.pipeline.labels if self.pipeline else None
        if isinstance(labels, HorizonEncoder):
            scales, means = list(labels.scales), list(labels.means)
            code = f"{logits} * torch.tensor({scales}) + torch.tensor({means})"
            return f"torch.expm1({code})" if labels.uses_log else code
        if not isinstance(labels, LabelEncoder):
            return logits
        code = f"{logits}[:, 0] * {labels.scale!r} + {labels.mean!r}"
        return f"({code}).expm1()" if labels.uses_log else code

    def _reading(self) -> str:
        assert self.pipeline is not None
        statements = "\n".join(f"- {statement}" for statement in self.pipeline.statements)
        columns = ", ".join(f"`{column}`" for column in self.pipeline.columns)
        return (
            f"## What it reads\n\nThe columns {columns}; rows are cut at {self.pipeline.max_length} tokens. "
            f"What was decided from the training rows:\n\n{statements}"
        )

    def _figures(self) -> str:
        record = self.record
        if record is None or not self.metrics:
            return "## How good it is\n\nNo figures came with this checkpoint."
        baseline = record.summary.baseline
        rows = [
            (name, f"{value:.4f}", f"{baseline[name]:.4f}" if name in baseline else "")
            for name, value in self.metrics.items()
        ]
        rows_seen = record.summary.val_rows
        on = (
            f"on {rows_seen:,} rows that it was not trained on"
            if rows_seen
            else "on validation rows"
        )
        caution = (
            f" The epoch was chosen by {record.summary.monitor} on these same rows, which flatters it a little."
            if record.summary.monitor
            else ""
        )
        return (
            f"## How good it is\n\nMeasured {on}.{caution}\n\n"
            f"{_table(('metric', 'this model', 'without a model'), rows)}"
        )

    def _training(self) -> str:
        rows = [(name, str(value)) for name, value in self._training_facts() if value is not None]
        return f"## How it was trained\n\n{_table(('what', 'value'), rows)}"

    def _training_facts(self) -> Iterator[tuple[str, Any]]:
        assert self.record is not None
        record = self.record
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

    def _limits(self) -> str:
        notes = [
            *self.notes,
            "read back from this folder, the answers to a few made-up rows differ from those of the checkpoint by at "
            f"most {self.difference:.2g}",
        ]
        temperature = self.config["head"].get("temperature_scaling", 1.0)
        if temperature != 1.0:
            notes.append(
                f"divide logits by the temperature {temperature} for calibrated probabilities"
            )
        thresholds = self.config["head"].get("thresholds")
        if thresholds:
            notes.append(f"a label is present from these probabilities on: {list(thresholds)}")
        return "## To know\n\n" + "\n".join(f"- {note}" for note in notes)


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _version() -> str:
    try:
        return version("bert-playground")
    except PackageNotFoundError:
        return "(not installed)"
