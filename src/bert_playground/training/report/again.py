"""prepare_rows: the tables of a run, read again by the configuration that it has stored."""

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare import Prepared, prepare
from bert_playground.data.prepare.folds import prepare_folds
from bert_playground.run_record import RunRecord


def prepare_rows(record: RunRecord) -> Prepared:
    """The tables of a run, with the same validation rows; of a run over folds, all rows are those.

    Raises:
        FileNotFoundError: a table is not there any more.
        ValueError: the run was trained from rows in memory, or its table is faulty now.
    """
    if record.setting("data.train") is None:
        raise ValueError("the run was trained on rows in memory, which no file holds")
    config = RunConfig.model_validate(record.settings.values)
    if record.run.fold_fits.is_dir() and config.cross_validation.folds is not None:
        return prepare_folds(config).prepared
    return prepare(config)
