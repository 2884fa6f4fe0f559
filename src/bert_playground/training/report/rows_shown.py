"""show_rows: the rows with the largest losses, with the text that the model read and what spoke for its answer."""

import numpy as np

from bert_playground.tasks import TASKS
from bert_playground.training.report.blocks import Block, Cards, Piece, RowCard, Text
from bert_playground.training.report.gradients import explain_rows
from bert_playground.training.report.scored import Scored
from bert_playground.training.report.spans import read_pieces

MOST_ROWS = 20
MOST_LETTERS = 2000  # of a row's text
FOR, AGAINST = "underlined", "dashed below"


def show_rows(scored: Scored) -> list[Block]:
    """The 20 rows with the largest losses."""
    worst = np.argsort(-scored.answers.losses, kind="stable")[:MOST_ROWS]
    pieces, is_explained = _explain(scored, worst)
    cards = tuple(
        RowCard(
            _name_row(scored, int(row)),
            scored.answers.say_answer(int(row)),
            scored.answers.say_truth(int(row)),
            float(scored.answers.losses[row]),
            _limit(pieces[int(row)]),
        )
        for row in worst
    )
    is_number = scored.answers.in_units is not None
    how = "an answer far from the truth" if is_number else "a confident answer, and another truth"
    intro = f"The rows that surprised the model most: {how}. Their text is what it read."
    if is_explained:
        intro += f" {_say_signs(scored)} Gradient times input, word by word."
    return [Text((intro,)), Cards(scored.answers.loss_name, cards)]


def _say_signs(scored: Scored) -> str:
    answers = scored.answers
    if answers.task == "binary":
        sides = f"spoke for {answers.names[1]}", f"for {answers.names[0]}"
    elif answers.task == "multiclass":
        sides = "spoke for the class that was answered", "against it"
    elif TASKS[answers.task].is_classification:
        sides = "raised the scores", "lowered them"
    else:
        sides = "raised the number", "lowered it"
    return f"What is {FOR} {sides[0]}, what is {AGAINST} {sides[1]}; the stronger the colour, the more."


def _explain(scored: Scored, rows: np.ndarray) -> tuple[dict[int, tuple[Piece, ...]], bool]:
    """The text of each row, with weights where an encoder may explain it."""
    wanted = set(rows.tolist())
    found: dict[int, tuple[Piece, ...]] = {}
    for reader in scored.readers:
        own = sorted(wanted & set(reader.rows.tolist()) - set(found))
        if not own:
            continue
        explained = explain_rows(reader.load(), scored.frame[own])
        found |= {row: explained.pieces(place) for place, row in enumerate(own)}
    is_explained = bool(found)
    if rest := sorted(wanted - set(found)):
        text = scored.pipeline
        read = read_pieces(text, scored.frame[rest])
        names = [feature.column for feature in text.features]
        for row, parts in zip(rest, read, strict=True):
            found[row] = tuple(
                Piece(part, name=name) for part, name in zip(parts, names, strict=True)
            )
    return found, is_explained


def _limit(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """The beginning of a long text."""
    room, kept = MOST_LETTERS, []
    for piece in pieces:
        if room <= 0:
            kept.append(Piece(" \N{HORIZONTAL ELLIPSIS} (the page shows no more of it)"))
            break
        kept.append(Piece(piece.text[:room], piece.weight, piece.is_cut, piece.name))
        room -= len(piece.text)
    return tuple(kept)


def _name_row(scored: Scored, row: int) -> str:
    """By its id, else by its number in the rows that were answered."""
    name = scored.pipeline.id_column
    if name in scored.frame.columns:
        return f"{name} {scored.frame[name][row]}"
    return f"row {row} of those answered"
