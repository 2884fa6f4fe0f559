"""CrossValidationSection: folds, the models that are fitted on each, and how their answers are blended."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from .base import AboveZero, Flag, Positive, Probability, Section, Unset, read_duration

LEAST_FOLDS = 2


class CrossValidationSection(Section):
    """Models on every fold, out-of-fold answers, and their blend."""

    folds: Annotated[
        int | Path | None,
        Unset("one split"),
        Flag("--folds", "N|FILE", panel="Cross-validation"),
    ] = Field(
        None,
        description="cross-validate on N folds, or on those of a file of `bert data folds`, and blend the models",
    )
    repeats: Annotated[Positive, Flag("--repeats", "N", panel="Cross-validation")] = Field(
        1, description="how often the folds are drawn anew"
    )
    members: Annotated[
        tuple[str, ...] | None,
        Unset("the encoder and all below that are installed"),
        Flag("--members", "A,B,C", panel="Cross-validation"),
    ] = Field(
        None,
        description="models of each fold: encoder, scratch, pretrained, checkpoint, tuned, constant, linear, boosting, lightgbm, catboost",
    )
    blend: Annotated[
        Literal["greedy", "mean", "rank_mean", "logistic"],
        Flag("--blend", "NAME", panel="Cross-validation"),
    ] = Field("greedy", description="how the answers of the models are combined")
    time: Annotated[
        AboveZero | None,
        Unset("no limit"),
        Flag("--time", "20m", panel="Cross-validation"),
        BeforeValidator(read_duration),
    ] = Field(None, description="what all models together may take, in seconds or such as 20m")
    jobs: Annotated[
        Positive | None,
        Unset("1; with --engine ray as many as the cluster has room for"),
        Flag("--jobs", "N", panel="Scaling out"),
    ] = Field(None, description="models that are fitted side by side, in processes of their own")
    pseudo: Annotated[
        Probability | None, Unset("off"), Flag("--pseudo", "P", panel="Cross-validation")
    ] = Field(
        None,
        description="also learn from rows of the test table that are answered with at least this probability",
    )

    @field_validator("folds", mode="before")
    @classmethod
    def _read_number(cls, value: object) -> object:
        """The command line and the environment give text."""
        value = int(value) if isinstance(value, str) and value.strip().isdigit() else value
        if isinstance(value, int) and value < LEAST_FOLDS:
            raise ValueError(
                f"expected at least {LEAST_FOLDS} folds, or a file of `bert data folds`"
            )
        return value

    @field_validator("members", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        """A,B,C of the command line."""
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value
