"""The short name of bert_playground.data."""

from _alias_finder import stand_for

stand_for(__name__)
