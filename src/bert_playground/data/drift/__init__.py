"""Drift: what training saw of each column, how a later table differs, and other spellings of the same values."""
