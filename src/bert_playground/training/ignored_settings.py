"""ignored_settings: what was asked for and cannot have its effect in this run, with what is used instead."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from bert_playground.config.flags import settings
from bert_playground.config.schema import RunConfig
from bert_playground.logger import logger
from bert_playground.models.lora import create_lora_config
from bert_playground.tasks import TASKS
from bert_playground.training.core.optimizers import OPTIMIZERS, optimizer_options
from bert_playground.training.core.schedule import SCHEDULES, schedule_options

NOT_GIVEN = ("default", "found")  # sources that nobody typed
# Each belongs to some optimizers, or to some schedules, and not to others.
OPTIMIZER_OPTIONS = {"weight_decay", "beta1", "beta2", "eps", "momentum", "nesterov"}
SCHEDULE_OPTIONS = {"num_cycles", "power", "decay_ratio"}
CLASSIFIERS = ("binary", "multiclass", "multilabel")
Reason = tuple[str, str]  # patterns of dotted paths, and why these have no effect
Reasons = Iterator[Reason]
OF_SEVERAL = (
    "engine.* cross_validation.jobs",
    "one model is trained, by this process (--folds N, --ensemble N)",
)
OF_FOLDS = [
    (
        "cross_validation.time",
        "it is for all models of a run over folds (--folds N); --max-time limits a single one",
    ),
    ("cross_validation.[!fj]*", "it is for models on folds (--folds N)"),  # all but folds and jobs
]


@dataclass(frozen=True)
class RunFacts:
    """What a run turned out to be; a configuration alone does not know it.

    Attributes:
        task: a name in TASKS; None: pretraining.
        num_rows: of the training data.
        batches_per_epoch: of the training data.
        epochs: that were asked for or chosen.
        is_compiled: whether the step is compiled.
        max_length: most tokens of a row, as it is read.
        has_validation: whether there are validation rows.
        has_rows: whether a pipeline reads the rows; they may come as loaders.
        is_ready_made: whether the model was made before the run.
        is_member: whether the run is one of an ensemble.
        has_number_tokens: whether values of numbers are added to the tokens of their cells.
        is_pretrained_first: whether the checkpoint that training starts from was pretrained for this run.
    """

    task: str | None
    num_rows: int
    batches_per_epoch: int
    epochs: int
    is_compiled: bool = False
    max_length: int | None = None
    has_validation: bool = True
    has_rows: bool = True
    is_ready_made: bool = False
    is_member: bool = False
    has_number_tokens: bool = False
    is_pretrained_first: bool = False

    def steps(self, config: RunConfig) -> int:
        """Optimizer steps of all epochs."""
        group = config.training.gradient_accumulation_steps
        return self.epochs * -(-self.batches_per_epoch // group)


def ignored_settings(config: RunConfig, sources: Mapping[str, str], facts: RunFacts) -> list[str]:
    """One sentence for each setting that somebody gave and that has no effect: value, source, and what holds instead.

    Args:
        config: what was asked for.
        sources: for each dotted path where its value came from; those left at their default are not named.
        facts: of the run.
    """
    return _name(config, sources, (each for rule in RULES for each in rule(config, facts)))


def _name(config: RunConfig, sources: Mapping[str, str], rules: Iterable[Reason]) -> list[str]:
    reasons: dict[str, str] = {}
    given = [path for path in settings() if sources.get(path, "default") not in NOT_GIVEN]
    for patterns, reason in rules:
        for pattern in patterns.split():
            for path in given:
                if fnmatch(path, pattern):
                    reasons.setdefault(path, reason)
    return [
        f"no effect: {path} = {_value_at(config, path)} ({sources[path]}); {reasons[path]}"
        for path in given
        if path in reasons
    ]


def log_ignored_settings(config: RunConfig, sources: Mapping[str, str], facts: RunFacts) -> None:
    """Name each of them once in the log."""
    for sentence in ignored_settings(config, sources, facts):
        logger.warning(sentence)


def log_settings_of_several(config: RunConfig, sources: Mapping[str, str]) -> None:
    """Name what is about several models, in a run of a single one."""
    for sentence in _name(config, sources, [OF_SEVERAL, *OF_FOLDS]):
        logger.warning(sentence)


def log_settings_of_folds(config: RunConfig, sources: Mapping[str, str]) -> None:
    """Name what is about models on folds, in a run of several on one split."""
    for sentence in _name(config, sources, OF_FOLDS):
        logger.warning(sentence)


def _value_at(config: RunConfig, path: str) -> object:
    section, key = path.split(".")
    value = getattr(getattr(config, section), key)
    return str(value).lower() if isinstance(value, bool) else value


def _of_model(config: RunConfig, facts: RunFacts) -> Reasons:
    sizes = "model.hidden_size model.num_layers model.num_heads model.intermediate_size"
    if facts.is_ready_made:
        yield f"model.architecture model.dropout {sizes}", "the model was made before"
        yield "model.pretrain model.word_vectors", "the model was made before"
        if not facts.has_rows:
            yield "model.*", "the model was made before, and the rows come as tokens"
    elif facts.task is None:
        reason = "it is for bert train, and this is its pretraining"
        yield "model.pretrain model.word_vectors", reason
    if facts.is_pretrained_first:
        yield "model.word_vectors", "pretraining has learned them (model.pretrain)"
    if config.model.pretrained is not None and not facts.is_pretrained_first:
        reason = f"the checkpoint {config.model.pretrained} has its own"
        yield "model.pretrain", "training starts from the checkpoint that model.pretrained names"
        yield f"model.architecture model.vocab_size model.word_vectors {sizes}", reason


def _of_head(config: RunConfig, facts: RunFacts) -> Reasons:
    if facts.task is None:
        yield "head.*", "pretraining predicts masked words; a task's head is made by bert train"
        return
    if facts.is_ready_made:
        yield "head.[!a]*", "the model's head was made before"  # all but adaptive_threshold
        return
    head = config.head.type or TASKS[facts.task].head
    if head == "regression":
        yield "head.num_labels", "a regression head answers one number"
    if head not in CLASSIFIERS:
        names = "head.use_focal_loss head.focal_gamma head.label_smoothing"
        yield names, f"the loss of the {head} head has no such part"
    if head not in ("binary", "multiclass"):
        yield "head.temperature_scaling", f"the {head} head has no temperature"
    yield from _of_losses(config, head)


def _of_losses(config: RunConfig, head: str) -> Reasons:
    asked = config.head
    if not asked.use_focal_loss:
        yield "head.focal_gamma", "head.use_focal_loss is off"
    if head not in ("regression", "timeseries"):
        yield "head.loss_type head.huber_delta", f"the loss of the {head} head is another"
    if asked.loss_type != "huber":
        yield "head.huber_delta", f"head.loss_type is {asked.loss_type}"
    if head != "ordinal":
        yield "head.use_cumulative_link", f"it is for ordinal heads, and this one is {head}"
    if head != "timeseries":
        yield "head.use_temporal_features", f"it is for timeseries heads, and this one is {head}"


def _of_lora(config: RunConfig, facts: RunFacts) -> Reasons:
    if facts.is_ready_made:
        yield "lora.*", "the model was made before; give it adapters with use_lora=True"
    elif not config.lora.enabled:
        yield "lora.[!e]*", "lora.enabled is off: all weights are trained (--lora PRESET)"
    elif (config.lora.bits or create_lora_config(config.lora.preset).bits) is None:
        yield "lora.group_size", "lora.bits is not given, so nothing is quantized"


def _of_ensemble(config: RunConfig, facts: RunFacts) -> Reasons:
    if facts.is_member:
        if config.ensemble.diversity_strategy == "heads":
            yield (
                "head.pooling",
                "each member of ensemble.diversity_strategy heads has a pooling of its own",
            )
        return
    if facts.task is None:
        yield "ensemble.*", "one encoder is pretrained"
    elif facts.is_ready_made:
        yield "ensemble.*", "the model was made before; create_ensemble makes several"
    elif config.ensemble.num_models == 1:
        yield "ensemble.diversity_strategy", "one model is trained (--ensemble N)"


def _of_split(config: RunConfig, facts: RunFacts) -> Reasons:
    data = config.data
    drawn = "data.val_fraction data.split data.split_seed data.group_column data.time_column"
    if facts.task is None:
        names = f"{drawn} data.val data.folds data.fold"
        yield names, "rows are held out by pretraining.val_fraction and training.seed"
    elif not facts.has_rows:
        return
    elif data.val is not None:
        yield f"{drawn} data.folds data.fold", f"the validation rows are those of {data.val}"
    elif data.folds is not None:
        yield drawn, f"the validation rows are those of fold {data.fold} in {data.folds}"
    else:
        yield "data.fold", "data.folds names no file of folds"
        is_by_time = data.split == "time" or (data.split == "auto" and data.time_column is not None)
        if is_by_time or data.horizon is not None:
            yield "data.split_seed", "rows are split by time, not by chance"


def _of_rows(config: RunConfig, facts: RunFacts) -> Reasons:
    data = config.data
    if not facts.has_rows:
        yield "data.* augmentation.*", "the rows come as loaders, which were made before"
        yield "training.batch_size training.eval_batch_size", "the loaders have their own"
        return
    if facts.task is None:
        yield "data.sample_fraction data.class_order data.task", "pretraining reads all rows"
        yield "data.horizon data.lags", "pretraining reads rows as text"
        if data.numeric_features not in (None, "off") and not facts.has_number_tokens:
            reason = "pretraining reads numbers in the tokens of their cells alone, which these rows have none of"
            yield "data.numeric_features", reason
    if data.horizon is None:
        yield "data.lags", "data.horizon is not given, so the table is not cut into windows"
    if not data.use_pretokenized:
        yield "data.cache_dir", "data.use_pretokenized is off, so nothing is cached"
    if data.text_pair:
        names = "data.text_columns data.kinds data.column_order data.template_options"
        yield names, f"rows are the pair {' and '.join(data.text_pair)}, as data.text_pair asks"
    if facts.max_length is not None and data.max_length > facts.max_length:
        reason = "rows are no longer than the model's, or than those that it was trained on"
        yield "data.max_length", f"{facts.max_length} is used: {reason}"


def _of_training(config: RunConfig, facts: RunFacts) -> Reasons:
    training, steps = config.training, facts.steps(config)
    if training.use_compilation and not facts.is_compiled:
        yield (
            "training.use_compilation",
            "the step runs uncompiled: native kernels are fused already, and without g++ a Linux CPU cannot compile "
            "(bert benchmark --test-compilation compares)",
        )
    if training.max_steps is not None and training.max_steps > steps:
        yield "training.max_steps", f"the run ends after {facts.epochs} epochs, {steps} steps"
    elif training.max_steps is not None and training.max_steps < steps:
        yield "training.epochs", f"the run ends after training.max_steps {training.max_steps}"
    if training.gradient_accumulation_steps > facts.batches_per_epoch:
        yield (
            "training.gradient_accumulation_steps",
            f"an epoch has {facts.batches_per_epoch} batches, which are one step",
        )
    if training.rows_per_batch > facts.num_rows and facts.has_rows:
        yield "training.batch_size", f"there are {facts.num_rows} rows, which are one batch"
    last = min(steps, training.max_steps or steps)
    if training.logging_steps > last:
        yield "training.logging_steps", f"the run has {last} steps; the first one is reported"
    patience = training.early_stopping_patience
    if patience and patience >= facts.epochs and facts.has_validation:
        yield "training.early_stopping_patience", f"the run has {facts.epochs} epochs"
    yield from _of_weights(config, facts)
    metric, decisive = training.metric, config.checkpoint.best_model_metric
    if metric and decisive and metric.removeprefix("val_") != decisive.removeprefix("val_"):
        reason = (
            f"checkpoint.best_model_metric {decisive} decides the best epoch; this one is reported"
        )
        yield "training.metric", reason
    if not facts.has_validation:
        yield "training.early_stopping_patience training.eval_batch_size", "no validation rows"
        yield "training.metric", "there are no validation rows to measure it on"


def _of_weights(config: RunConfig, facts: RunFacts) -> Reasons:
    """What is trained, averaged and regularised."""
    training = config.training
    if training.swa_start is not None:
        yield "training.ema_decay", "training.swa_start averages the weights instead"
    if training.adversarial == "off":
        yield "training.adversarial_epsilon", "training.adversarial is off"
    if facts.task is None:
        names = "training.freeze training.gradual_unfreezing training.r_drop training.mixup"
        yield f"{names} training.adversarial*", "they are for bert train, and this is pretraining"
    elif config.lora.enabled and not facts.is_ready_made and training.freeze == "embeddings":
        yield "training.freeze", "with lora.enabled the embeddings are frozen anyway"
    if training.freeze == "encoder":
        yield "training.gradual_unfreezing optimizer.layer_decay", "the head alone is trained"
    if training.r_drop and config.model.dropout == 0 and config.head.dropout == 0:
        yield "training.r_drop", "without dropout (model.dropout, head.dropout) both passes are one"


def _of_refit(config: RunConfig, facts: RunFacts) -> Reasons:
    if facts.task is None:
        yield "training.refit", "it is for bert train"
    elif facts.is_ready_made:
        yield "training.refit", "the model was made before, and a new one would be trained"


def _of_optimizer(config: RunConfig, facts: RunFacts) -> Reasons:
    kind = config.optimizer.type
    has = set(optimizer_options(OPTIMIZERS[kind]))
    names = " ".join(f"optimizer.{name}" for name in sorted(OPTIMIZER_OPTIONS - has))
    yield names, f"{kind} has {', '.join(sorted(has & OPTIMIZER_OPTIONS))}"
    if kind == "muon" and config.lora.enabled and not facts.is_ready_made:
        reason = (
            "with lora.enabled no hidden matrix is trained in full, so AdamW updates everything"
        )
        yield "optimizer.type optimizer.momentum optimizer.nesterov", reason


def _of_schedule(config: RunConfig, facts: RunFacts) -> Reasons:
    kind = config.scheduler.type
    other = SCHEDULE_OPTIONS - schedule_options(SCHEDULES[kind])
    names = " ".join(f"scheduler.{name}" for name in sorted(other))
    yield names, f"the schedule {kind} has no such setting"
    if kind == "constant":
        yield "scheduler.min_lr_ratio", "the schedule constant never falls"
    steps = min(facts.steps(config), config.training.max_steps or facts.steps(config))
    warmup = config.scheduler.warmup_steps
    if warmup is None:
        return
    yield "scheduler.warmup_ratio", f"scheduler.warmup_steps {warmup} goes before it"
    if warmup > steps:
        yield (
            "scheduler.warmup_steps",
            f"the run has {steps} steps, so {steps} are used: the rate rises to its peak at the last one and never "
            "falls; give fewer, or scheduler.warmup_ratio",
        )
    if warmup >= steps:
        yield "scheduler.type", f"the warm-up takes all {steps} steps"


def _of_checkpoints(config: RunConfig, facts: RunFacts) -> Reasons:
    asked = config.checkpoint
    last = min(facts.steps(config), config.training.max_steps or facts.steps(config))
    if not asked.enable_checkpointing:
        names = "checkpoint.save_best_model checkpoint.save_best_only checkpoint.save_steps"
        yield (
            f"{names} checkpoint.save_minutes checkpoint.keep_last",
            "checkpoint.enable_checkpointing is off",
        )
    if asked.save_best_only:
        names = "checkpoint.save_steps checkpoint.keep_last"
        yield names, "checkpoint.save_best_only keeps `best` alone"
        if not asked.save_best_model:
            yield "checkpoint.save_best_only", "checkpoint.save_best_model is off: nothing is kept"
    if asked.save_steps is not None and asked.save_steps > last:
        yield "checkpoint.save_steps", f"the run has {last} steps, so only its end is kept"
    if not facts.has_validation:
        yield "checkpoint.save_best_* checkpoint.best_model_*", "there are no validation rows"


def _of_tracking(config: RunConfig, facts: RunFacts) -> Reasons:
    if not config.tracking.mlflow:
        yield "tracking.[!m]*", "tracking.mlflow is off (--mlflow)"


def _of_pretraining(config: RunConfig, facts: RunFacts) -> Reasons:
    if facts.task is None:
        yield "pretraining.epochs", "it is for bert train; here the epochs are training.epochs"
    elif facts.is_pretrained_first:
        names = "pretraining.tables pretraining.has_target"
        yield names, "the rows are those of data.train and of the test table beside it"
    else:
        yield "pretraining.*", "it is for bert pretrain, or with model.pretrain"


RULES = (
    _of_model,
    _of_head,
    _of_lora,
    _of_ensemble,
    _of_split,
    _of_rows,
    _of_training,
    _of_refit,
    _of_optimizer,
    _of_schedule,
    _of_checkpoints,
    _of_tracking,
    _of_pretraining,
)
