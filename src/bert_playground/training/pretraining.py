"""run_pretraining: masked words of unlabeled rows, from tables to a checkpoint that `bert train --model` takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from bert_playground import kernels
from bert_playground.config.schema import AugmentationSection, RunConfig
from bert_playground.data.loaders.masked_loader import MaskedLoader
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.prepare import choose_text_options
from bert_playground.data.schema.unlabeled import Unlabeled, read_unlabeled
from bert_playground.data.templates.features import has_free_text
from bert_playground.data.templates.fit_numbers import fit_numbers
from bert_playground.data.templates.row_text import RowText, fit_row_text, load_row_text
from bert_playground.data.tokens.masking import Masking, has_words
from bert_playground.data.tokens.token_table import TokenizedTable, take_rows
from bert_playground.distributed.group import joined_group
from bert_playground.logger import logger
from bert_playground.memory import peak_memory_bytes
from bert_playground.models.huggingface import fetch_folder, read_pretrained
from bert_playground.models.initialization import scale_layers
from bert_playground.models.masked_lm import (
    MaskedLM,
    create_masked_lm,
    load_masked_lm,
    save_masked_lm,
)
from bert_playground.models.sizes import (
    check_fit,
    check_numbers,
    dropout_options,
    find_family,
    scratch_sizes,
)
from bert_playground.models.vocabulary import grow_vocabulary
from bert_playground.runs import RunDir
from bert_playground.training.build import Objective, build_trainer
from bert_playground.training.core import Trainer
from bert_playground.training.ignored_settings import RunFacts, log_ignored_settings
from bert_playground.training.recipe import choose_pretraining_recipe
from bert_playground.training.report.conclude import conclude_run
from bert_playground.training.run_folder import RunResult, run_in_folder
from bert_playground.training.start import read_sources, start_run
from bert_playground.training.summary import count_parameters


def run_pretraining(
    config: RunConfig, sources: Mapping[str, str] | None = None, resume: Path | None = None
) -> RunResult:
    """Pretrain as the configuration says: an encoder learns to find hidden words of the tables' rows.

    What is fitted on the way, bins and vocabulary, is fitted on all rows of all tables; the target is never read.

    Args:
        config: what was asked for.
        sources: for each dotted path of the configuration where its value came from.
        resume: a run folder, or one of its checkpoints: go on from there with the configuration stored in the run.

    Raises:
        ValueError: tables, configuration or checkpoint do not fit; says what to do.
        FileNotFoundError: a file is not there.
        KeyboardInterrupt: Ctrl-C, after a clean save; a note says how to resume.
    """
    return run_in_folder(_pretrain, "pretrain", config, sources, resume)


def _pretrain(run: RunDir, config: RunConfig, checkpoint: Path | None) -> RunResult:
    _check(config)
    start_run(run, config)
    rows = read_unlabeled(
        config.data,
        config.pretraining.tables,
        has_target=config.pretraining.has_target,
        seed=config.training.seed,
    )
    text = _fit_or_load(rows, config, checkpoint)
    for statement in (*rows.notes, *text.statements):
        logger.info(statement)
    cache_dir = config.data.cache_dir if config.data.use_pretokenized else None
    table = text.encode(rows.frame, cache_dir=cache_dir, split="pretrain")
    table = table._replace(numbers=text.encode_numbers(rows.frame))
    return pretrain_encoder(text, table, config, run, checkpoint)


def pretrain_encoder(
    text: RowText,
    table: TokenizedTable,
    config: RunConfig,
    run: RunDir,
    checkpoint: Path | None = None,
) -> RunResult:
    """Pretrain on rows that are tokenised already, and write the run folder.

    Args:
        text: how rows become tokens; saved with every checkpoint.
        table: the rows.
        config: what was asked for.
        run: the folder; `start_run` has been there.
        checkpoint: to go on from, exactly where it stopped; None: from the beginning.
    """
    train_data, val_data = _make_loaders(text, table, config)
    model, task_options = _make_model(config, text, train_data.num_rows)

    def save(folder: Path) -> None:
        save_masked_lm(model, folder, **task_options)
        text.save(folder)

    recipe = choose_pretraining_recipe(
        is_pretrained=config.model.pretrained is not None,
        num_rows=train_data.num_rows,
        batch_size=config.training.rows_per_batch * config.training.gradient_accumulation_steps,
    )
    name = config.data.train.parent.name if config.data.train else ""
    objective = Objective(
        _report, "val_loss", "min", drawn="val_accuracy", title=f"{name}: hidden words"
    )
    trainer = build_trainer(model, config, run, recipe, objective, save)
    trainer.row_names.read = text.tokenizer.read
    if checkpoint is not None:
        trainer.resume(checkpoint)
        logger.info(f"resumed {checkpoint} after step {trainer.state.step}")
    facts = RunFacts(
        None,
        train_data.num_rows,
        len(train_data),
        trainer.loop.epochs,
        is_compiled=trainer.loop.use_compilation,
        max_length=text.max_length,
        has_number_tokens=bool(text.number_tokens),
    )
    log_ignored_settings(config, read_sources(run), facts)
    state = trainer.train(train_data, val_data)
    if not joined_group().is_first:
        return RunResult(run, state.best_metrics, None, {})
    summary = {"train": str(config.data.train)} | _summarise(run, trainer, train_data, val_data)
    conclude_run(run, summary, has_report=config.training.report)
    return RunResult(run, state.best_metrics, run.kept, summary)


def _check(config: RunConfig) -> None:
    wrong = []
    if config.lora.enabled:
        wrong.append("lora.enabled: pretraining changes all weights; use --lora with bert train")
    if config.augmentation != AugmentationSection():
        wrong.append("augmentation: hidden words are drawn anew anyway; keep it for bert train")
    for path in ("training.metric", "checkpoint.best_model_metric"):
        section, key = path.split(".")
        if (asked := getattr(getattr(config, section), key)) not in (None, "loss", "val_loss"):
            wrong.append(f"{path} {asked!r}: pretraining is judged by val_loss; leave it out")
    if wrong:
        raise ValueError(f"this cannot be pretrained: {'; '.join(wrong)}")


def _fit_or_load(rows: Unlabeled, config: RunConfig, checkpoint: Path | None) -> RowText:
    if checkpoint is not None:
        return load_row_text(checkpoint)
    options = choose_text_options(config.data, rows.template)
    name = config.model.pretrained
    known: dict[str, Any] = {"skip": rows.targets, "id_column": rows.id_column}
    known |= {"pretrained_dir": fetch_folder(name) if name else None}
    text = fit_row_text(rows.frame, options, vocab_size=config.model.vocab_size, **known)
    return fit_numbers(text, rows.frame, options, beside=False, **known)


def _make_loaders(
    text: RowText, table: TokenizedTable, config: RunConfig
) -> tuple[MaskedLoader, MaskedLoader]:
    """Training and held-out rows; chance decides which is which, and labels play no part in it."""
    asked, data, training = config.pretraining, config.data, config.training
    masking = Masking.of(
        text.tokenizer,
        probability=asked.mask_probability,
        random_token_probability=asked.random_share,
        unchanged_probability=asked.keep_share,
    )
    numbers = np.flatnonzero(has_words(table, masking))
    if len(numbers) < 2:
        raise ValueError(
            f"{len(numbers)} of {table.num_rows} rows have a word that can be hidden, expected at least 2: the rows have "
            "no text, or none of their words is in the vocabulary of the checkpoint"
        )
    order = np.random.default_rng(training.seed).permutation(numbers)
    num_val = min(len(order) - 1, max(1, round(asked.val_fraction * len(order))))
    logger.info(
        f"{len(order) - num_val} rows to learn from, {num_val} held out (seed {training.seed}); "
        f"{asked.mask_probability:.0%} of the words are asked for".replace("%", " %")
    )

    def load(chosen: np.ndarray, batch_size: int, *, shuffle: bool) -> MaskedLoader:
        loader = MLXLoader(
            take_rows(table, np.sort(chosen)),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=training.seed,
            layout="packed" if kernels.is_native() else "padded",
            pad_token_id=text.pad_token_id,
            prefetch_size=data.prefetch_size,
        )
        seed = training.seed + int(not shuffle)
        return MaskedLoader(loader, masking, seed, text.number_tokens)

    return (
        load(order[num_val:], training.rows_per_batch, shuffle=True),
        load(order[:num_val], training.eval_batch_size, shuffle=False),
    )


def _make_model(config: RunConfig, text: RowText, num_rows: int) -> tuple[MaskedLM, dict[str, Any]]:
    """The model, and the fields of its config that a reader who fine-tunes it shall find instead."""
    asked = config.pretraining.dropout
    if config.model.pretrained is None:
        family = find_family(config.model.architecture)
        sizes = scratch_sizes(
            config.model,
            family,
            config.data.max_length,
            num_rows,
            has_text=has_free_text(text.features),
        )
        dropout = dropout_options(family, asked)
        shape = family.config(
            **(sizes | dropout),
            vocab_size=text.vocab_size,
            pad_token_id=text.pad_token_id,
            numeric_tokens=text.number_tokens,
        )
        model = create_masked_lm(family.core(shape))
        scale_layers(model.encoder)
        return model, {name: sizes[name] for name in dropout}
    pretrained = grow_vocabulary(
        read_pretrained(config.model.pretrained), text.vocab_size, text.tokenizer.added_tokens
    )
    dropout = dropout_options(pretrained.family, asked)
    model, _ = load_masked_lm(pretrained, **dropout)
    check_fit(model.encoder, pretrained, text.max_length)
    check_numbers(model.encoder, text.number_tokens, pretrained.folder)
    kept = {name: getattr(pretrained.config, name) for name in dropout}
    return model, kept | dropout_options(pretrained.family, config.model.dropout)


def _report(labels: np.ndarray, words: np.ndarray) -> dict[str, float]:
    return {"accuracy": float((labels == words).mean())}


class Baseline(NamedTuple):
    """What the frequencies of the words alone give."""

    loss: float
    accuracy: float


def measure_baseline(train: TokenizedTable, val: TokenizedTable, masking: Masking) -> Baseline:
    """Loss and accuracy of an answer that knows how often each word occurs and looks at nothing else."""
    size = int(max(train.ids.max(), val.ids.max(), masking.words.max())) + 1
    counts = np.bincount(train.ids[masking.is_word(train.ids)], minlength=size).astype(np.float64)
    # One more of each word, so that one which is new in the held-out rows costs something finite.
    counts[masking.words] += 1
    asked = val.ids[masking.is_word(val.ids)]
    losses = np.log(counts.sum()) - np.log(counts[asked])
    return Baseline(float(losses.mean()), float((asked == counts.argmax()).mean()))


def _summarise(
    run: RunDir, trainer: Trainer, train_data: MaskedLoader, val_data: MaskedLoader
) -> dict[str, Any]:
    """What a reader of results wants in one flat document, as for a training run."""
    state = trainer.state
    train_seconds = max(state.seconds, 1e-9)
    baseline = measure_baseline(train_data.loader.table, val_data.loader.table, train_data.masking)
    files = {"run": run.path, "best": run.best, "final": run.final, "curves": run.curves}
    files |= {"log": run.train_log, "metrics": run.metrics}
    return {
        "task": "hidden words",
        "monitor": state.monitor,
        "metrics": state.best_metrics,
        "last_metrics": state.metrics,
        "baseline": {f"val_{name}": value for name, value in baseline._asdict().items()},
        "best_epoch": state.best_epoch,
        "best_step": state.best_step,
        "epochs": state.epoch,
        "steps": state.step,
        "stop_reason": state.stop_reason,
        "skipped_steps": state.skipped_steps,
        "train_rows": train_data.num_rows,
        "val_rows": val_data.num_rows,
        "mask_probability": train_data.masking.probability,
        "parameters": count_parameters(trainer.model),
        "trained_parameters": count_parameters(trainer.model, trained_only=True),
        "precision": "bf16" if trainer.model.encoder.dtype == mx.bfloat16 else "f32",
        "is_compiled": trainer.loop.use_compilation,
        "seconds": state.seconds,
        "rows_per_second": state.rows / train_seconds,
        "tokens_per_second": state.tokens / train_seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "files": {name: str(path) for name, path in files.items() if path.exists()},
    }
