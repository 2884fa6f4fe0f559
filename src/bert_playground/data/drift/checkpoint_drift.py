"""warn_of_checkpoint_drift: how a table to train on differs from the one that the checkpoint was trained on."""

from pathlib import Path

import polars as pl

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.profile import PROFILED, ColumnProfile
from bert_playground.data.templates.row_text import PIPELINE
from bert_playground.documents import check, read_json
from bert_playground.logger import logger

PROFILES = "profiles"


def warn_of_checkpoint_drift(folder: Path, frame: pl.DataFrame) -> None:
    """Say in one warning what differs; the rows stay as they are, and the model learns them so.

    Args:
        folder: of the checkpoint; one without profiles, such as that of a Hugging Face model, is not compared.
        frame: the training rows.
    """
    path = folder / PIPELINE
    state = read_json(path) if path.exists() else {}
    check(PROFILED, state, PIPELINE)
    profiles = [ColumnProfile.from_dict(each) for each in state.get(PROFILES) or ()]
    drift = TableDrift(profiles)
    drift.read(frame)
    findings = drift.findings()
    if findings:
        listed = "".join(f"\n- {finding.say(is_repaired=False)}" for finding in findings)
        logger.warning(
            f"the training table differs from that of {folder} (below: now, and then in training).{listed}\nnothing is "
            "repaired: the model learns these rows as they are written; write them as that table did to keep what it knows"
        )
