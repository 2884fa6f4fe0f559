"""lead_ranks, follow_rank: what rank 0 was asked for and goes on from, in a folder of each other rank, which writes nowhere else."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bert_playground.config.schema import RunConfig
from bert_playground.distributed.group import Group
from bert_playground.distributed.membership import tell_run
from bert_playground.files import write_text
from bert_playground.logger import logger
from bert_playground.runs import RunDir

PIECE_BYTES = 64 * 2**20  # of a file that is sent


def check_for_ranks(config: RunConfig) -> None:
    """Refuse what several processes cannot do together.

    Raises:
        ValueError: something of it is asked for; all of it is listed, each with what to do instead.
    """
    wrong = []
    if config.cross_validation.folds is not None:
        wrong.append(
            "cross_validation.folds: models of folds are independent of each other, so processes with a model each are "
            "faster: bert train --folds N --jobs N"
        )
    if config.ensemble.num_models > 1:
        wrong.append("ensemble.num_models: members are independent; bert train trains them")
    if config.training.batch_size == "auto":
        wrong.append(
            "training.batch_size auto: it is measured for one process; give the rows that each rank takes, such as "
            "--batch-size 32"
        )
    if config.model.pretrain == "on":
        wrong.append(
            "model.pretrain: pretrain first, by bert launch … pretrain, and give its checkpoints/best as --model"
        )
    if wrong:
        raise ValueError(f"bert launch cannot do this: {'; '.join(wrong)}")


def lead_ranks(group: Group, run: RunDir, config: RunConfig, checkpoint: Path | None) -> None:
    """Of rank 0: tell the others what the run is, and send them the checkpoint that it goes on from.

    They need no file system in common with it but for the tables. In a group of one, nothing happens.
    """
    if group.size == 1:
        return
    check_for_ranks(config)
    files = [] if checkpoint is None else sorted(p for p in checkpoint.rglob("*") if p.is_file())
    document = {
        "run": str(run.path),
        "config": config.model_dump(mode="json"),
        "settings": run.config.read_text(encoding="utf-8"),
        "checkpoint": None if checkpoint is None else checkpoint.name,
        "files": [
            (str(path.relative_to(checkpoint or path)), path.stat().st_size) for path in files
        ],
    }
    group.spread(json.dumps(document).encode())
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                group.spread(piece)
    rows = config.training.rows_per_batch
    most = -(-rows // group.size)
    logger.info(f"{group.size} ranks share the {rows} rows of each batch, {most} at most each")


@contextmanager
def follow_rank(group: Group) -> Iterator[tuple[RunDir, RunConfig, Path | None]]:
    """Of every other rank: a folder for the time of the block, with the configuration and the checkpoint of rank 0."""
    document = json.loads(group.spread(b""))
    tell_run(document["run"])
    with tempfile.TemporaryDirectory(prefix="bert_rank_") as folder:
        run = RunDir(Path(folder))
        config = RunConfig.model_validate(document["config"])
        write_text(run.config, document["settings"])
        checkpoint = run.checkpoints / document["checkpoint"] if document["checkpoint"] else None
        for name, size in document["files"]:
            assert checkpoint is not None
            path = checkpoint / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                while file.tell() < size:
                    file.write(group.spread(b""))
        yield run, _without_writing(config), checkpoint


def _without_writing(config: RunConfig) -> RunConfig:
    """Rank 0 alone reports, tracks and calls the user's callbacks."""
    return config.with_changes(
        {"tracking": {"mlflow": False}, "training": {"report": False, "callbacks": ()}}
    )
