"""The blend column of an oof.parquet is no member of another blend."""

from pathlib import Path

import polars as pl

from bert_playground.training.oof_files import read_oof_files


def test_the_blend_of_an_own_file_is_left_out(tmp_path: Path) -> None:
    rows = range(6)
    frame = pl.DataFrame(
        {
            "row": rows,
            "fold": [row % 2 for row in rows],
            "repeat": [0] * 6,
            "y": [row % 2 for row in rows],
            "linear": [0.1 * row for row in rows],
            "blend": [0.1 * row for row in rows],
        }
    )
    frame.write_parquet(tmp_path / "oof.parquet")
    (file,) = read_oof_files([tmp_path / "oof.parquet"], "y", None).files
    assert file.columns == ("linear",)
