"""Rows become scores: a CSV, tokens, onnxruntime: the second part of predict.py."""

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from bert_playground.export.onnx.standalone_cells import (
    NONE,
    Piece,
    Row,
    derive,
    read_time,
    respell,
    say,
    value_of,
    write_piece,
)

BATCH_SIZE = 64
Array = np.ndarray[Any, Any]


def read_csv(path: Path) -> list[Row]:
    """The rows of a CSV; the sign that is most frequent in its first line separates cells."""
    csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            counts = Counter(letter for letter in file.readline() if letter in ",;\t|")
            file.seek(0)
            mark = counts.most_common(1)[0][0] if counts else ","
            header, *rows = [row for row in csv.reader(file, delimiter=mark) if row]
    except OSError as error:
        raise SystemExit(f"{path} cannot be opened: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise SystemExit(f"{path} cannot be read as a CSV in UTF-8: {error}") from error
    ragged = [number for number, row in enumerate(rows, start=1) if len(row) != len(header)]
    if ragged:
        raise SystemExit(
            f"{path}: the header has {len(header)} cells, but row {ragged[0]} has {len(rows[ragged[0] - 1])}; correct it"
        )
    return [dict(zip(header, row, strict=True)) for row in rows]


def warn_of_strange_cells(rows: list[Row], pieces: list[Piece]) -> None:
    """Name columns of which many cells are none that training had: they are read as they stand."""
    for piece in pieces:
        column = piece["column"]
        cells = [text for row in rows if (text := value_of(row[column])) is not None]
        cells = [text for text in cells if text.lower() not in NONE]
        if piece["form"] in ("number", "date") and piece["part"] != "hour":
            strange = [text for text in cells if say(piece, text) == "missing"]
        elif piece["form"] == "category":
            strange = [text for text in cells if text not in piece["known"]]
        else:
            continue
        if len(strange) > 0.2 * len(cells):
            print(
                f"warning: {column}: {len(strange)} of {len(cells)} cells are none that training had, such as "
                f"{strange[0]!r}; they are read as they stand",
                file=sys.stderr,
            )


def latest_windows(rows: list[Row], windows: dict[str, Any]) -> list[Row]:
    """Of a table of series: the last moment of each, with the values before it as further columns."""
    value, time, series = windows["value"], windows["time_column"], windows["series_column"]
    ordered = sorted(
        rows,
        key=lambda row: (
            row[series] or "" if series else "",
            read_time(row[time], windows["time_form"]),
        ),
    )
    by_series: dict[str | None, list[Row]] = {}
    for row in ordered:
        by_series.setdefault(row[series] if series else None, []).append(row)
    found = []
    for own in by_series.values():
        past = [row[value] for row in reversed(own[-windows["lags"] :])] + [None] * windows["lags"]
        lags = {f"{value} lag {i + 1}": past[i] for i in range(windows["lags"])}
        found.append({**own[-1], **lags})
    return found


def complete(rows: list[Row], plan: dict[str, Any]) -> list[Row]:
    """The rows in the words of training, with the columns that are computed of their other cells."""
    found = []
    for row in rows:
        said = {name: respell(row[name], column) for name, column in plan["respelled"].items()}
        row = {**row, **said}
        found.append({**row, **{column["name"]: derive(column, row) for column in plan["derived"]}})
    return found


class RowReader:
    """How a row becomes token ids and numbers: a plan and the tokenizer that belongs to it."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        # A cell that spells "[SEP]" is text like any other.
        self.tokenizer.encode_special_tokens = True

    def encode_texts(self, texts: list[str]) -> list[list[int]]:
        """The token ids of texts, without what stands around a row."""
        return [found.ids for found in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def encode(self, rows: list[Row]) -> tuple[list[list[int]], list[int]]:
        """The token ids of each row, and where its second text begins (of a text pair, else at its end)."""
        plan = self.plan
        room = (
            plan["max_length"]
            - len(plan["prefix"])
            - len(plan["suffix"])
            - len(plan["between"] or [])
        )
        pieces = [
            [write_piece(piece, row[piece["column"]]) for piece in plan["pieces"]] for row in rows
        ]
        if plan["between"] is not None:
            return self._encode_pairs(pieces, room)
        if plan["separated"]:
            ids = self.encode_texts([piece for row in pieces for piece in row])
            count = len(plan["pieces"])
            whole = [ids[start : start + count] for start in range(0, len(ids), count)]
            bodies = [sum(([*plan["suffix"], *each] for each in row[1:]), row[0]) for row in whole]
        else:
            bodies = self.encode_texts(["".join(row) for row in pieces])
        full = [[*plan["prefix"], *body[:room], *plan["suffix"]] for body in bodies]
        return full, [len(ids) for ids in full]

    def _encode_pairs(
        self, pieces: list[list[str]], room: int
    ) -> tuple[list[list[int]], list[int]]:
        """[CLS] a [SEP] b [SEP]; of a row that is too long, the longer text is cut until both are equally long."""
        plan, full, starts = self.plan, [], []
        firsts, seconds = (self.encode_texts([row[i] for row in pieces]) for i in (0, 1))
        for first, second in zip(firsts, seconds, strict=True):
            short, long = sorted((len(first), len(second)))
            if short + long > room:
                long = max(short, room - short)
                if short + long > room:
                    short, long = room // 2, room - room // 2
            kept = (long, short) if len(first) > len(second) else (short, long)
            head = [*plan["prefix"], *first[: kept[0]], *plan["between"]]
            full.append([*head, *second[: kept[1]], *plan["suffix"]])
            starts.append(len(head) if plan["has_types"] else len(full[-1]))
        return full, starts

    def encode_numbers(self, rows: list[Row]) -> Array:
        """What share of the training rows lies below each number, [R, F]; NaN where there is none."""
        columns = []
        for number in self.plan["numbers"]:
            values = np.array(
                [read_time(row.get(number["column"]), number["form"]) for row in rows]
            )
            columns.append(
                np.interp(np.clip(values, -1e300, 1e300), number["values"], number["shares"])
            )
        return np.stack(columns, axis=1).astype(np.float32)


class Member:
    """One model with its way to read rows."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.reader = RowReader(folder, plan)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def score(self, rows: list[Row]) -> Array:
        """The model's scores in the order of the rows, asked in batches of rows of like lengths."""
        reader, plan = self.reader, self.reader.plan
        rows = complete(rows, plan)
        ids, starts = reader.encode(rows)
        numbers = reader.encode_numbers(rows) if plan["numbers"] else None
        names = {given.name for given in self.session.get_inputs()}
        order = np.argsort([len(row) for row in ids], kind="stable")
        scores: dict[int, Array] = {}
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            lengths = np.array([len(ids[i]) for i in chosen])
            places = np.arange(lengths.max())[None]
            padded = np.full((len(chosen), lengths.max()), plan["pad_token_id"], np.int64)
            for place, i in enumerate(chosen):
                padded[place, : len(ids[i])] = ids[i]
            real = places < lengths[:, None]
            second = places >= np.array([starts[i] for i in chosen])[:, None]
            feed = {
                "input_ids": padded,
                "attention_mask": real.astype(np.int64),
                "token_type_ids": (second & real).astype(np.int64),
            }
            feed = {name: array for name, array in feed.items() if name in names}
            if numbers is not None:
                feed["numbers"] = numbers[chosen]
            scores.update(zip(chosen.tolist(), self.session.run(["scores"], feed)[0], strict=True))
        return np.stack([scores[i] for i in range(len(ids))]).astype(np.float64)
