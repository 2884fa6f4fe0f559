"""DataSection, AugmentationSection: the tables, and how a row becomes tokens."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from .base import Flag, NotNegative, Positive, Section, Unset

TaskName = Literal["binary", "multiclass", "multilabel", "ordinal", "regression", "timeseries"]
SplitName = Literal["auto", "stratified", "grouped", "time", "stratified_grouped"]


class DataSection(Section):
    """The tables and how a row becomes tokens."""

    train: Annotated[
        Path | None, Unset("data/titanic/train.csv, if there"), Flag("--train", "FILE")
    ] = Field(None, description="table with the target")
    val: Annotated[Path | None, Unset("split off --train"), Flag("--val", "FILE")] = Field(
        None, description="table to validate on"
    )
    target: Annotated[str | None, Unset("inferred and stated"), Flag("--target", "COLUMN")] = Field(
        None, description="column to predict, or several: a,b,c"
    )
    id_column: Annotated[
        str | None, Unset("inferred and stated"), Flag("--id-column", "COLUMN")
    ] = Field(None, description="column that names the rows, or none")
    task: Annotated[
        TaskName | None,
        Unset("inferred and stated"),
        Flag("--task", "TASK"),
    ] = Field(None, description="what the target asks")
    class_order: Annotated[
        tuple[str, ...] | None, Unset("by number"), Flag("--class-order", "A,B,C")
    ] = Field(None, description="classes of an ordinal target, lowest first")
    group_column: Annotated[
        str | None, Unset("inferred and stated"), Flag("--group-column", "COLUMN")
    ] = Field(None, description="rows of one group never stand on both sides of a split")
    time_column: Annotated[
        str | None, Unset("inferred for a split by time"), Flag("--time-column", "COLUMN")
    ] = Field(None, description="when a row happened: validation rows are the latest ones")
    weight_column: Annotated[str | None, Unset("all the same")] = Field(
        None, description="how much each training row counts in the loss; no feature"
    )
    split: Annotated[SplitName, Flag("--split", "NAME")] = Field(
        "auto",
        description="how validation rows are drawn, auto by time with a time column, else by classes and groups",
    )
    folds: Annotated[Path | None, Unset("none")] = Field(
        None, description="a file of `bert data folds`: validation rows are those of one fold"
    )
    fold: NotNegative = Field(0, description="which one")
    text_pair: Annotated[tuple[str, ...], Field(max_length=2)] = Field(
        (), description="two text columns that are read as a pair, and nothing else is"
    )
    horizon: Annotated[Positive | None, Unset("none")] = Field(
        None,
        description="rows are steps of a series: predict the next so many values of the target",
    )
    lags: Positive = Field(
        8, description="with a horizon: values of the target that are looked back on"
    )
    series_column: Annotated[str | None, Unset("the table is one series")] = Field(
        None, description="with a horizon: what tells series apart"
    )
    registry: Annotated[Path | None, Unset("datasets.yaml, if there")] = Field(
        None, description="data sets of your own, by their columns"
    )
    drop_columns: tuple[str, ...] = Field((), description="columns that are not read")
    text_columns: tuple[str, ...] = Field(
        (), description="kept word by word, whatever inference says"
    )
    kinds: dict[str, str] = Field(
        {},
        description="column → kind (number, category, …) or date format, where inference is wrong",
    )
    template: Annotated[str, Flag("--template", "NAME")] = Field(
        "auto", description="how a row becomes a sentence"
    )
    template_options: dict[str, Any] = Field(
        {},
        description="other values for fields of the template: numbers, missing, units, phrases, …",
    )
    derive: Literal["auto", "off"] | dict[str, str] = Field(
        "auto",
        description="new columns: auto for parts of codes, sizes of groups, sums; off; or name → SQL, these alone",
    )
    numeric_features: Annotated[
        Literal["off", "auto"] | tuple[str, ...] | None, Unset("by the template")
    ] = Field(
        None,
        description="values of numbers and dates added to the tokens of their cells, or beside a text: off, auto, or columns",
    )
    column_order: Literal["auto", "table", "importance"] = Field(
        "auto",
        description="of the text; importance: the most telling first; auto: so where rows are too long for all",
    )
    max_length: Annotated[Positive, Flag("--max-length", "N")] = Field(
        256, description="most tokens of a row"
    )
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="share of the rows that is split off for validation"
    )
    split_seed: Annotated[NotNegative | None, Unset("training.seed")] = Field(
        None, description="which rows are split off"
    )
    sample_fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="train on this part of the training rows, drawn by training.seed"
    )
    use_pretokenized: Annotated[bool, Flag("--use-pretokenized")] = Field(
        False, description="cache token ids under data/.tokenizer_cache"
    )
    cache_dir: Path = Field(Path("data/.tokenizer_cache"), description="where token ids are cached")
    num_workers: Annotated[
        NotNegative | None, Unset("all cores, one or two for batches"), Flag("--num-workers", "N")
    ] = Field(None, description="threads that tokenise, and that prepare batches")
    prefetch_size: Annotated[NotNegative, Flag("--prefetch-size", "N")] = Field(
        4, description="batches prepared ahead of the model"
    )
    streaming: Annotated[bool | None, Unset("from 64 MB or 500,000 rows on")] = Field(
        None, description="read the training table in chunks, not whole"
    )

    @property
    def unread_columns(self) -> tuple[str, ...]:
        """The columns that are kept out of the text by their names."""
        weights = () if self.weight_column is None else (self.weight_column,)
        return tuple(dict.fromkeys((*self.drop_columns, *weights)))

    @model_validator(mode="before")
    @classmethod
    def _read_derived(cls, values: Any) -> Any:
        """Columns that are named with their SQL are derivations of the template."""
        derived = values.get("derive") if isinstance(values, dict) else None
        if not isinstance(derived, dict):
            return values
        options = values.get("template_options") or {}
        if not isinstance(options, dict) or not isinstance(options.get("derive", {}), dict):
            return values  # refused by the field's own type
        merged = {**options, "derive": {**options.get("derive", {}), **derived}}
        return {**values, "template_options": merged}

    @field_validator("derive", mode="before")
    @classmethod
    def _read_switch(cls, value: object) -> object:
        """YAML reads off as false."""
        return ("auto" if value else "off") if isinstance(value, bool) else value

    @field_validator("target", mode="before")
    @classmethod
    def _join_columns(cls, value: object) -> object:
        """Several columns may be a list."""
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("target", "group_column", "time_column", "weight_column", "series_column")
    @classmethod
    def _require_name(cls, value: str | None) -> str | None:
        """An empty name is a slip; of the id column it means that there is none."""
        if value is not None and not value.replace(",", " ").strip():
            raise ValueError(
                "an empty name, expected that of a column; leave it out if it shall be inferred"
            )
        return value

    @field_validator(
        "drop_columns", "text_columns", "text_pair", "kinds", "class_order", "numeric_features"
    )
    @classmethod
    def _require_names(cls, values: Any) -> Any:
        """As `_require_name`, for several."""
        if values is not None and any(not str(name).strip() for name in values):
            raise ValueError("an empty name among them; name columns and classes, or leave it out")
        return values

    @field_validator("numeric_features", mode="before")
    @classmethod
    def _read_columns(cls, value: object) -> object:
        """YAML reads off as false; as a flag, columns stand between commas."""
        if isinstance(value, bool):
            return "auto" if value else "off"
        if isinstance(value, str) and value not in ("off", "auto"):
            return tuple(name.strip() for name in value.split(","))
        return value

    @field_validator("class_order", mode="before")
    @classmethod
    def _split_classes(cls, value: object) -> object:
        """As a flag, classes stand between commas."""
        return value.split(",") if isinstance(value, str) else value


class AugmentationSection(Section):
    """Training rows changed anew in each epoch, never those that are validated or predicted; 0: off."""

    column_shuffle: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="probability that the pieces of a row come in a random order"
    )
    column_dropout: Annotated[float, Field(ge=0, le=0.9)] = Field(
        0.0, description="probability that a cell is missing"
    )
    token_masking: Annotated[float, Field(ge=0, le=0.9)] = Field(
        0.0, description="share of the words that the mask token replaces"
    )
    number_jitter: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="how far numbers move: deviation in ranks, 0.05 is 5 % of the training rows",
    )
    value_swap: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="probability that a cell is that of another training row of the same class"
    )
    templates: tuple[str, ...] = Field(
        (), description="names in TEMPLATES: a row is worded by one of these or the run's own"
    )
