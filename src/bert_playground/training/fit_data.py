"""fit_data: pipeline and loaders for a model that is there already, out of whatever holds the rows; make_loaders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.augmentation.augmentation import Augmentation
from bert_playground.data.core.types import Loader
from bert_playground.data.drift.checkpoint_drift import warn_of_checkpoint_drift
from bert_playground.data.loaders import MLXLoader, StreamingLoader
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared, prepare, prepare_frames
from bert_playground.data.reading.examples import describe_type, read_examples
from bert_playground.data.targets.row_weights import read_row_weights
from bert_playground.logger import logger
from bert_playground.lookup import shorten
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.huggingface import fetch_folder
from bert_playground.tasks import TASKS
from bert_playground.training.match_classes import match_classes

PAD_MULTIPLE = 8  # padded rows are so much wider at most than the longest one, less one


class FittedData(NamedTuple):
    """Rows that a model can be trained on.

    Attributes:
        train: the training rows.
        val: the validation rows; None: there are none.
        pipeline: that makes them; None: they came as loaders.
        notes: what was decided, in sentences.
        prepared: the tables behind the loaders; None: there are none.
    """

    train: Any  # a Loader; of one's own it need have no more than that
    val: Any
    pipeline: TextPipeline | None = None
    notes: tuple[str, ...] = ()
    prepared: Prepared | None = None


def fit_data(
    model: BertWithHead,
    config: RunConfig,
    train_data: Any,
    val_data: Any,
    sources: Mapping[str, str] | None = None,
) -> FittedData:
    """Loaders as they are; of everything else a pipeline is fitted on the training rows, and checked against the model.

    Args:
        model: with its head; a vocabulary is trained that fits into its own, unless it came with a tokenizer.
        config: what is asked of the table, the text and the loaders.
        train_data: a loader, or what `read_examples` reads; None: `data.train`.
        val_data: likewise; None: split off as the configuration says.
        sources: for each dotted path of the configuration where its value came from.

    Raises:
        TypeError: nothing of these; says what came and what was expected.
        ValueError: the rows are faulty, or do not fit the model; says what does not.
    """
    if is_loader(train_data):
        if val_data is not None and not is_loader(val_data):
            raise TypeError(
                f"train_data is a loader, val_data {describe_type(val_data)}; give two loaders, or rows for both"
            )
        return FittedData(train_data, val_data)
    if is_loader(val_data):
        raise TypeError(
            f"val_data is a loader, train_data {describe_type(train_data)}; give two loaders, or rows for both"
        )
    asked = _fit_request(model, config, sources or {})
    try:
        prepared = _prepare(asked, train_data, val_data)
    except ValueError as error:
        if config.data.task is None and f"task {asked.data.task}" in str(error):
            raise ValueError(
                f"{error} (the model's {model.head.head_type} head asks for task {asked.data.task}; make the model with "
                "another head_type, or give other labels)"
            ) from error
        raise
    folder = _tokenizer_folder(model, config)
    pipeline = TextPipeline.fit(
        prepared.train,
        prepared.schema,
        prepared.text,
        pretrained_dir=folder,
        vocab_size=min(config.model.vocab_size, model.encoder.config.vocab_size),
        augmentation=Augmentation(**config.augmentation.model_dump()),
        numbers_in_tokens=model.encoder.num_numbers > 0,
    )
    check_model(model, pipeline)
    match_classes(model, pipeline)
    if model.pretrained_dir is not None:
        warn_of_checkpoint_drift(model.pretrained_dir, prepared.train)
    train, val = make_loaders(pipeline, prepared, asked)
    if config.data.sample_fraction < 1:
        train = train.sample(config.data.sample_fraction, config.training.seed)
    return FittedData(train, val, pipeline, (*prepared.notes, *pipeline.statements), prepared)


def is_loader(data: Any) -> TypeGuard[Loader]:
    """Whether something gives batches, as `Loader` says."""
    is_numbered = hasattr(data, "__getitem__")  # a dataset of another library may know num_rows too
    return hasattr(data, "iterate") or (hasattr(data, "num_rows") and not is_numbered)


def check_model(model: BertWithHead, pipeline: TextPipeline) -> None:
    """Check that a model can read a pipeline's tokens and answer its question.

    Raises:
        ValueError: it cannot; all reasons are listed.
    """
    head, encoder = model.head, model.encoder
    wrong = []
    num_outputs = max(pipeline.num_labels, len(pipeline.classes))
    if pipeline.task != "regression" and head.num_labels != num_outputs and head.output_size > 0:
        has = f"{num_outputs} classes, labels or steps"
        named = f" ({shorten(map(str, pipeline.classes), 6)})" if pipeline.classes else ""
        wrong.append(
            f"the {head.head_type} head answers {head.num_labels}, but {pipeline.target!r} has {has}{named}; make the "
            f"model with num_labels={num_outputs}"
        )
    size = encoder.config.vocab_size
    if pipeline.vocab_size > size:
        wrong.append(
            f"the tokenizer {pipeline.tokenizer_name!r} has {pipeline.vocab_size} entries, but the encoder's vocab_size "
            f"is {size}; make the model with vocab_size={pipeline.vocab_size}, or load it with its own tokenizer"
        )
    if encoder.config.numeric_tokens != pipeline.number_tokens:
        wrong.append(
            f"the encoder adds {encoder.num_numbers} numbers to tokens, but {len(pipeline.number_tokens)} of the table "
            "have tokens of their own; load the model with its own pipeline, or make it without numeric_tokens"
        )
    elif model.num_numbers != len(pipeline.numbers):
        wrong.append(
            f"the model reads {model.num_numbers} numeric features, but data.numeric_features gives "
            f"{len(pipeline.numbers)}; make the model with num_numbers={len(pipeline.numbers)}"
        )
    if wrong:
        raise ValueError(f"model and data do not fit: {'; '.join(wrong)}")


def wants_thresholds(model: BertWithHead, config: RunConfig) -> bool:
    """Whether thresholds of labels are to be learned, by the configuration or by the head itself."""
    is_asked = config.head.adaptive_threshold or model.head.config.adaptive_threshold
    return is_asked and model.head.task == "multilabel"


def label_names(model: BertWithHead, pipeline: TextPipeline | None) -> list[str]:
    """What labels are called: as in the table, or by their numbers."""
    names = range(model.head.num_labels) if pipeline is None else pipeline.classes
    return [str(name) for name in names]


def make_loaders(
    pipeline: TextPipeline, prepared: Prepared, config: RunConfig
) -> tuple[MLXLoader | StreamingLoader, MLXLoader]:
    """Training and validation rows as batches."""
    data, training = config.data, config.training
    threads: dict[str, Any] = {"prefetch_size": data.prefetch_size}
    if data.num_workers is not None:
        threads["num_workers"] = data.num_workers
    cached: dict[str, Any] = {"cache_dir": data.cache_dir if data.use_pretokenized else None}
    order: dict[str, Any] = {
        "batch_size": training.rows_per_batch,
        "shuffle": True,
        "seed": training.seed,
    }
    val_data = pipeline.make_loader(
        prepared.val, batch_size=training.eval_batch_size, split="val", **threads, **cached
    )
    seen = pipeline.of_training_rows
    if prepared.stream is not None:
        if data.use_pretokenized:
            logger.info(
                "data.use_pretokenized: only validation rows are cached; streamed rows are tokenised in every epoch"
            )
        return seen.make_streaming_loader(
            prepared.stream, augmented_from=prepared.train, **order, **threads
        ), val_data
    weights = read_row_weights(prepared.train, prepared.schema.weight_column)
    return seen.make_loader(
        prepared.train,
        split="train",
        augmented=True,
        weights=weights,
        **order,
        **threads,
        **cached,
    ), val_data


def _fit_request(model: BertWithHead, config: RunConfig, sources: Mapping[str, str]) -> RunConfig:
    """The same request, its task that of the head, and rows no longer than the encoder can read."""
    head, data = model.head, config.data
    if data.task is not None and head.task not in (data.task, *TASKS[data.task].other_heads):
        raise ValueError(
            f"data.task is {data.task}, but the model's {head.head_type} head answers {head.task}; make the model with "
            f"head_type={TASKS[data.task].head!r}, or leave data.task out"
        )
    positions = model.encoder.max_length
    changes: dict[str, Any] = {"task": data.task or head.task}
    if data.max_length > positions:
        is_preset = sources.get("data.max_length", "").startswith("preset")
        if "max_length" in data.model_fields_set and not is_preset:
            raise ValueError(
                f"data.max_length is {data.max_length}, but the model has {positions} positions; ask for {positions} or "
                f"less, or make the model with max_position_embeddings={data.max_length}"
            )
        changes["max_length"] = max(1, positions // PAD_MULTIPLE * PAD_MULTIPLE) or positions
    return config.model_copy(update={"data": data.model_copy(update=changes)})


def _prepare(config: RunConfig, train_data: Any, val_data: Any) -> Prepared:
    """Files are read as `bert train` reads them; everything else is a table in memory."""
    data = config.data
    if train_data is None:
        train_data = data.train
    if train_data is None:
        raise TypeError(
            "train_data is None, and the configuration names no data.train; give rows, or a path"
        )
    if isinstance(train_data, str | Path) and (
        val_data is None or isinstance(val_data, str | Path)
    ):
        given = {"train": Path(train_data), "val": data.val if val_data is None else Path(val_data)}
        return prepare(config.model_copy(update={"data": data.model_copy(update=given)}))
    found = read_examples(train_data, data.target)
    request = data.model_copy(update={"train": None, "val": None})
    if data.target is None and found.target is not None:
        request = request.model_copy(update={"target": found.target})
    if val_data is None:
        val_data = data.val
    val = None if val_data is None else read_examples(val_data, request.target).frame
    return prepare_frames(found.frame, val, request, config.split_seed)


def _tokenizer_folder(model: BertWithHead, config: RunConfig) -> Path | None:
    """Where the tokenizer lies that the model was pretrained with; None: it has none yet."""
    if model.pretrained_dir is not None:
        return model.pretrained_dir
    return fetch_folder(config.model.pretrained) if config.model.pretrained else None


def table_paths(train_data: Any, val_data: Any, data: DataSection) -> dict[str, Path]:
    """The tables that a run is trained on, where they are single files or patterns: what its record says of them."""
    given = {"train": data.train if train_data is None else train_data, "val": val_data}
    return {name: Path(source) for name, source in given.items() if isinstance(source, str | Path)}
