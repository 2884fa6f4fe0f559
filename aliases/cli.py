"""The short name of bert_playground.cli."""

from _alias_finder import stand_for

stand_for(__name__)
