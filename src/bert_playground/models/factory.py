"""create_model and friends: the friendly door, built on the files below."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from bert_playground.config.datasets import find_dataset
from bert_playground.logger import logger
from bert_playground.lookup import look_up, nearest
from bert_playground.models.bert import BertConfig, Encoder, ModernBertConfig
from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.ensemble import Ensemble, vary
from bert_playground.models.head_match import Answers, load_matched
from bert_playground.models.heads import HEADS, HeadConfig
from bert_playground.models.huggingface import (
    Pretrained,
    load_encoder,
    read_pretrained,
    report_unused,
)
from bert_playground.models.initialization import scale_layers
from bert_playground.models.lora import Base, LoRAAdapter, LoRAConfig, create_lora_config
from bert_playground.models.lora.folder import base_of
from bert_playground.models.quantization_utils import dequantize_model, quantized_layers
from bert_playground.models.sizes import (
    assemble,
    check_fit,
    check_numbers,
    choose_head,
    dropout_options,
    find_family,
    scratch_sizes,
)
from bert_playground.models.tokenwise import named_parameters
from bert_playground.models.vocabulary import grow_vocabulary
from bert_playground.tasks import TASKS, Task, choose_task_head

if TYPE_CHECKING:
    from bert_playground.config.schema import RunConfig

Model = TypeVar("Model", bound=Encoder | BertWithHead)


def create_model(
    name: str,
    head_type: str | None = None,
    num_labels: int | None = None,
    *,
    use_lora: bool = False,
    lora_preset: str = "balanced",
    **options: Any,
) -> BertWithHead:
    """Make a model with random weights.

    Args:
        name: an architecture in ENCODERS; "modernbert_with_head" means modernbert.
        head_type: a name in HEADS; None: binary for up to 2 labels, else multiclass.
        num_labels: how many classes.
        use_lora: add adapters and freeze the encoder.
        lora_preset: a name in LORA_PRESETS.
        options: fields of the encoder's config (hidden_size=256) or of HeadConfig (use_focal_loss=True).

    Raises:
        ValueError: an unknown name, option or impossible size.
    """
    family = find_family(name)
    encoder_fields = {field.name for field in fields(family.config)}
    encoder_fields |= {"rope_theta", "alternating_attention"} & set(family.config.__annotations__)
    head_fields = {field.name for field in fields(HeadConfig)} - {"head_type", "num_labels"}
    unknown = [
        f"{option!r}{nearest(option, encoder_fields | head_fields)}"
        for option in options
        if option not in encoder_fields | head_fields
    ]
    if unknown:
        raise ValueError(f"unknown option of {name}: {', '.join(unknown)}")
    encoder_options = {key: value for key, value in options.items() if key in encoder_fields}
    head_options = {key: value for key, value in options.items() if key not in encoder_fields}
    head = HeadConfig(**choose_head(head_type, num_labels), **head_options)
    model = assemble(family, family.config(**encoder_options), head)
    return _with_adapters(model, create_lora_config(lora_preset) if use_lora else None)


def create_bert_with_head(
    model_type: str = "modernbert",
    head_type: str | None = None,
    num_labels: int | None = None,
    use_lora: bool = False,
    lora_preset: str = "balanced",
    **options: Any,
) -> BertWithHead:
    """`create_model` under the names of a config file."""
    return create_model(
        model_type, head_type, num_labels, use_lora=use_lora, lora_preset=lora_preset, **options
    )


class ModelFactory:
    """Make models of config objects."""

    def create_model(
        self, bert_config: BertConfig | ModernBertConfig, head_config: HeadConfig | None = None
    ) -> BertWithHead:
        """Put the head that `head_config` describes on the encoder that `bert_config` describes."""
        family = find_family(bert_config.model_type)
        return assemble(family, bert_config, head_config or HeadConfig())


@overload
def load_from_huggingface(
    name: str | Path, *, add_lora: bool = ..., lora_preset: str = ...
) -> Encoder: ...


@overload
def load_from_huggingface(
    name: str | Path,
    task: str,
    num_labels: int | None = ...,
    *,
    labels: Sequence[object] | None = ...,
    head_type: str | None = ...,
    add_lora: bool = ...,
    lora_preset: str = ...,
    **head_options: Any,
) -> BertWithHead: ...


def load_from_huggingface(
    name: str | Path,
    task: str | None = None,
    num_labels: int | None = None,
    *,
    labels: Sequence[object] | None = None,
    head_type: str | None = None,
    add_lora: bool = False,
    lora_preset: str = "balanced",
    **head_options: Any,
) -> Encoder | BertWithHead:
    """Load a pretrained encoder; with a task put a head on it, the checkpoint's own where it fits.

    Args:
        name: a Hub id or a local folder.
        task: "classification", or a name in HEADS; None: the encoder alone, which maps
            (input_ids, attention_mask, token_type_ids) to hidden states [B, T, H].
        num_labels: how many classes; None: as many as there are `labels`, or as the checkpoint's classifier has, else 2.
        labels: the names of your classes in the order of their numbers: the checkpoint's classifier is matched by them,
            or a new one made; None: its outputs stay where they are.
        head_type: a name in HEADS; None: by task and number of labels.
        add_lora: add adapters and freeze the encoder.
        lora_preset: a name in LORA_PRESETS.
        head_options: fields of HeadConfig.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: an unknown task or option, a damaged checkpoint, or options of a head without a task.
    """
    model: Encoder | BertWithHead
    pretrained = read_pretrained(name)
    if task is None:
        asked = {"num_labels": num_labels, "labels": labels, "head_type": head_type}
        asked |= head_options
        given = [option for option, value in asked.items() if value is not None]
        if given:
            raise ValueError(
                f"{', '.join(given)}: options of a head, but without a task there is none; add task='classification'"
            )
        model = load_encoder(pretrained)
        known = named_parameters(model)
        report_unused(pretrained, [name for name in pretrained.weights if name not in known])
    else:
        if head_type is None and task != "classification":
            look_up({"classification": None, **HEADS}, task, "task")
            head_type = task
        if labels is not None:
            num_labels = _count_labels(labels, num_labels)
        if num_labels is None and head_type != "regression":
            classifier = pretrained.weights.get("classifier.weight")
            num_labels = 2 if classifier is None else max(2, classifier.shape[0])
        head = HeadConfig(**choose_head(head_type, num_labels), **head_options)
        answers = None if labels is None else Answers(names=tuple(map(str, labels)))
        model = load_matched(pretrained, head, answers)
    base = base_of(str(name), pretrained) if add_lora else None
    return _with_adapters(model, create_lora_config(lora_preset) if add_lora else None, base)


def create_ensemble(
    base_model: str,
    num_models: int = 5,
    diversity_strategy: str = "different_seeds",
    head_type: str | None = None,
    num_labels: int | None = None,
    *,
    weights: Sequence[float] | None = None,
    **options: Any,
) -> Ensemble:
    """Make several models that answer together; train them with `create_trainer(ensemble).train(...)`.

    Args:
        base_model: an architecture in ENCODERS to start from random weights, else a Hub id or folder.
        num_models: at least 2.
        diversity_strategy: a name in STRATEGIES; data_subsamples takes effect in training.
        head_type: as in `create_model`.
        num_labels: as in `create_model`.
        weights: how much each member counts; None: all the same.
        options: as in `create_model`, or in `load_from_huggingface`.

    Raises:
        ValueError: an unknown name, or a strategy that a checkpoint does not allow.
    """
    name = base_model.removesuffix("_with_head")
    is_checkpoint = "/" in base_model or Path(base_model).is_dir()
    if not is_checkpoint:
        look_up(ENCODERS, name, "base model")
    members = []
    for variation in vary(diversity_strategy, num_models, None if is_checkpoint else name):
        own = {} if variation.pooling is None else {"pooling": variation.pooling}
        if is_checkpoint:
            more: dict[str, Any] = options | own | {"head_type": head_type}
            member = load_from_huggingface(base_model, "classification", num_labels, **more)
        else:
            architecture = variation.architecture or name
            member = create_model(architecture, head_type, num_labels, **(options | own))
        members.append(member)
    return Ensemble(members, weights, diversity_strategy)


@overload
def create_kaggle_model(
    competition: str, use_lora: bool = ..., ensemble_size: Literal[1] = ..., **options: Any
) -> BertWithHead: ...


@overload
def create_kaggle_model(
    competition: str, use_lora: bool = ..., ensemble_size: int = ..., **options: Any
) -> BertWithHead | Ensemble: ...


def create_kaggle_model(
    competition: str,
    use_lora: bool = False,
    ensemble_size: int = 1,
    *,
    diversity_strategy: str = "different_seeds",
    **options: Any,
) -> BertWithHead | Ensemble:
    """Make the model that `bert train` makes for a competition: its head, and an encoder of the size that suits it.

    The weights are random; `train` of the command line, or `load_from_huggingface`, starts from a checkpoint.

    Args:
        competition: a name in DATASETS, or its slug on Kaggle.
        use_lora: add adapters and freeze the encoder.
        ensemble_size: above 1 an Ensemble of so many models.
        diversity_strategy: of the ensemble.
        options: as in `create_model`; they go before what suits the competition.

    Raises:
        ValueError: an unknown competition or option.
    """
    from bert_playground.config.schema import DataSection, ModelSection

    facts = find_dataset(competition)
    assert facts.task is not None  # only entries of a user's own may leave it open
    family = find_family(facts.architecture)
    section = ModelSection()
    shape = {
        **scratch_sizes(section, family, DataSection().max_length),
        "vocab_size": section.vocab_size,
        "pad_token_id": 0,
        "head_type": TASKS[facts.task].head,
        "num_labels": facts.num_labels,
        "use_lora": use_lora,
        **options,
    }
    if facts.pretrained is not None:
        logger.info(
            f"{competition} is about free text, of which random weights know nothing: "
            f"load_from_huggingface({facts.pretrained!r}, task={TASKS[facts.task].head!r}) is worth trying"
        )
    if ensemble_size == 1:
        return create_model(facts.architecture, **shape)
    return create_ensemble(facts.architecture, ensemble_size, diversity_strategy, **shape)


def create_from_config(
    config: "RunConfig",
    task: Task,
    num_labels: int,
    *,
    vocab_size: int,
    pad_token_id: int | None = 0,
    max_length: int | None = None,
    pretrained: Pretrained | None = None,
    head_options: Mapping[str, Any] | None = None,
    answers: Answers | None = None,
    number_tokens: Sequence[tuple[int, int]] = (),
    num_rows: int | None = None,
    has_text: bool = False,
    added_tokens: Mapping[int, str] | None = None,
) -> BertWithHead:
    """Make the model that a run asks for, pretrained or from scratch, with adapters if asked.

    Args:
        config: what was asked.
        task: what the table turned out to be.
        num_labels: how many classes it has; ignored by regression.
        vocab_size: how many entries the tokenizer has.
        pad_token_id: the tokenizer's.
        max_length: most tokens of a row; None: `data.max_length`.
        pretrained: the checkpoint, when it has been read already.
        head_options: fields of HeadConfig that the training labels decide, such as balanced class weights.
        answers: the target and its classes, by which the head of a checkpoint is matched; None: by position.
        number_tokens: of the pipeline: the tokens of cells whose values are added to them; a checkpoint has the same.
        num_rows: to learn from; random weights are of a size that suits them.
        has_text: whether free text is among what is read; random weights are wider then.
        added_tokens: of the tokenizer, by id: those that the encoder of a checkpoint lacks get vectors.

    Raises:
        ValueError: the parts do not fit together.
    """
    _check_labels(config, num_labels)
    max_length = max_length or config.data.max_length
    asked = config.head.model_dump(exclude={"type", "num_labels", "dropout"})
    # What "balanced" means the labels decide, which come in `head_options`.
    asked = {name: None if value == "balanced" else value for name, value in asked.items()}
    head = HeadConfig(
        **choose_head(choose_task_head(task.name, config.head.type), num_labels),
        hidden_dropout_prob=config.head.dropout,
        **{**asked, **(head_options or {})},
    )
    if config.model.pretrained is None:
        family = find_family(config.model.architecture)
        sizes = scratch_sizes(config.model, family, max_length, num_rows, has_text=has_text)
        shape = family.config(
            **sizes,
            vocab_size=vocab_size,
            pad_token_id=pad_token_id,
            numeric_tokens=tuple(number_tokens),
        )
        model = assemble(family, shape, head)
        scale_layers(model.encoder)
    else:
        pretrained = pretrained or read_pretrained(config.model.pretrained)
        pretrained = grow_vocabulary(
            pretrained, vocab_size, added_tokens or {}, is_frozen=config.lora.enabled
        )
        options = dropout_options(pretrained.family, config.model.dropout)
        model = load_matched(pretrained, head, answers, **options)
        check_fit(model.encoder, pretrained, max_length)
        check_numbers(model.encoder, number_tokens, pretrained.folder)
        if quantized_layers(model) and not config.lora.enabled:
            logger.info("the checkpoint is quantized; its weights are trained in full")
            dequantize_model(model)
    lora = None
    if config.lora.enabled:
        asked = config.lora.model_dump(exclude={"enabled", "preset"}, exclude_none=True)
        lora = create_lora_config(config.lora.preset, **asked)
    base = None
    if lora is not None and pretrained is not None:
        base = base_of(str(config.model.pretrained), pretrained)
    return _with_adapters(model, lora, base)


def _count_labels(labels: Sequence[object], num_labels: int | None) -> int:
    if num_labels not in (None, len(labels)):
        raise ValueError(
            f"num_labels is {num_labels}, but labels has {len(labels)} names; leave num_labels out"
        )
    return len(labels)


def _check_labels(config: "RunConfig", num_labels: int) -> None:
    asked = config.head.num_labels
    if asked is not None and asked != num_labels and config.head.type != "regression":
        raise ValueError(
            f"head.num_labels is {asked}, but the target has {num_labels} classes, labels or steps; "
            "leave it out to follow the data"
        )


def _with_adapters(model: Model, config: LoRAConfig | None, base: Base | None = None) -> Model:
    if config is not None:
        LoRAAdapter(model, config).base = base
    return model
