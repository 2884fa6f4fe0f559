"""HubCard: the README.md of a checkpoint as it lies in a repository of the Hub, with figures that its run measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from bert_playground.data.pipeline import TextPipeline
from bert_playground.documents import read_json
from bert_playground.export.card_facts import read_facts
from bert_playground.export.hub_contents import find_base
from bert_playground.export.model_card import TEMPLATES, own_version, training_facts
from bert_playground.lookup import count_of
from bert_playground.models.ensemble import checkpoints_inside, name_together
from bert_playground.models.hub_files import CONFIG, PIPELINE
from bert_playground.models.lora.folder import is_adapter_folder
from bert_playground.models.weight_files import find_weight_files, read_headers
from bert_playground.run_record import RunRecord, find_record, read_record
from bert_playground.runs import BLEND_NAME, ESTIMATOR_NAME

# The Hub's names of what a model does with a row.
TAGS = {
    "binary": "tabular-classification",
    "multiclass": "tabular-classification",
    "multilabel": "tabular-classification",
    "ordinal": "tabular-classification",
    "regression": "tabular-regression",
    "timeseries": "time-series-forecasting",
}
HOLDS = (
    "pipeline.json and the tokenizer hold what was learned of the training table: names of columns, frequent cells, "
    "words, and quantiles of its numbers; rows are not among the files"
)
ALONE = (
    "transformers does not read these files as they are; a folder that it reads is written by "
    "`bert model export`, and can be pushed likewise"
)


@dataclass(frozen=True)
class HubCard:
    """What hub_card.md.jinja tells.

    Attributes:
        repo: owner and name on the Hub.
        kind: what lies there, in words.
        num_parameters: None: not counted, as of several models.
        base_model: of adapters.
        pipeline: how rows become text, where that is known.
        record: of the run, where there was one.
        metrics: of the checkpoint, on rows that it was not trained on.
        answers_rows: whether it can predict a table.
    """

    repo: str
    kind: str
    num_parameters: int | None
    base_model: str | None
    pipeline: TextPipeline | None
    record: RunRecord | None
    metrics: Mapping[str, float]
    answers_rows: bool

    def text(self) -> str:
        """The whole card."""
        return TEMPLATES.get_template("hub_card.md.jinja").render(
            card=self,
            pipeline=self.pipeline,
            record=self.record,
            summary=None if self.record is None else self.record.summary,
            version=own_version(),
        )

    @property
    def tag(self) -> str:
        """The Hub's name of the task."""
        return TAGS[self.pipeline.task] if self.pipeline else "feature-extraction"

    @property
    def header(self) -> str:
        """The metadata that the Hub reads, as YAML."""
        figures = [
            EvalResult(
                task_type=self.tag,
                dataset_type="tabular",
                dataset_name="rows of the training table that it was not trained on",
                metric_type=name.removeprefix("val_"),
                metric_value=round(value, 6),
            )
            for name, value in self.metrics.items()
        ]
        return ModelCardData(
            library_name="bert-playground",
            pipeline_tag=self.tag,
            tags=["bert-playground", "mlx", "tabular"],
            base_model=self.base_model,
            model_name=self.repo.rpartition("/")[2] if figures else None,
            eval_results=figures or None,
        ).to_yaml()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader has to know."""
        notes = [HOLDS] if self.pipeline else []
        if self.base_model:
            notes.append(
                f"the weights of {self.base_model} are not here; they are fetched when it is named to `bert`"
            )
        return (*notes, ALONE)

    def training_facts(self) -> Iterator[tuple[str, Any]]:
        """How the run went; None: not known."""
        assert self.record is not None
        return training_facts(self.record)


def describe_checkpoint(folder: Path, repo: str, base: str | None) -> HubCard:
    """The card of a checkpoint, an ensemble, a blend or a model beside the encoder.

    Args:
        folder: that holds it.
        repo: where it is going to lie.
        base: Hub id that its adapters name.
    """
    record, metrics = _find_figures(folder)
    pipeline = _find_pipeline(folder)
    return HubCard(
        repo=repo,
        kind=_name_kind(folder),
        num_parameters=_count_parameters(folder),
        base_model=base or find_base(folder),
        pipeline=pipeline,
        record=record,
        metrics=metrics,
        answers_rows=pipeline is not None,
    )


def _find_record(folder: Path) -> RunRecord | None:
    if name_together(folder) is None:
        return find_record(folder)
    return read_record(folder) if (folder / "summary.json").is_file() else None


def _find_figures(folder: Path) -> tuple[RunRecord | None, Mapping[str, float]]:
    """The run of a folder with the metrics of what lies there, or what came along from the Hub."""
    if record := _find_record(folder):
        is_alone = name_together(folder) is None
        return record, record.metrics_of(folder) if is_alone else record.summary.metrics
    if facts := read_facts(folder):
        return facts.record(folder), facts.metrics
    return None, {}


def _find_pipeline(folder: Path) -> TextPipeline | None:
    if (folder / BLEND_NAME).is_file():
        return TextPipeline.load(folder / "pipeline")
    first = folder if name_together(folder) is None else checkpoints_inside(folder)[0]
    path = first / PIPELINE
    # That of a pretrained model has no labels.
    return TextPipeline.load(first) if path.is_file() and "labels" in read_json(path) else None


def _name_kind(folder: Path) -> str:
    if kind := name_together(folder):
        return f"{kind[0].upper()}{kind[1:]}"
    if (folder / ESTIMATOR_NAME).is_file():
        return f"A {read_json(folder / ESTIMATOR_NAME).get('estimator')} model on the columns of a table"
    if is_adapter_folder(folder):
        return "A LoRA adapter with its head"
    config = read_json(folder / CONFIG)
    name = str(config.get("model_type", "BERT")).removeprefix("bert_playground_")
    head = config.get("head") or {}
    layers = count_of(config.get("num_hidden_layers", 0), "layer")
    said = f"A {name} encoder of {layers} and width {config.get('hidden_size')}"
    said += f" with a {head['head_type']} head" if head.get("head_type") else ""
    return f"{said}, quantized" if config.get("quantization") else said


def _count_parameters(folder: Path) -> int | None:
    """Of one model whose weights are stored one by one."""
    if is_adapter_folder(folder) or not (folder / CONFIG).is_file() or name_together(folder):
        return None
    if read_json(folder / CONFIG).get("quantization"):
        return None
    return sum(header.size for header in read_headers(find_weight_files(folder)).values())
