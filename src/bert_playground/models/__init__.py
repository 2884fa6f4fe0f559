"""Encoders, heads, adapters and their files; shapes are B batch, T tokens, H hidden, N heads, D head size, L labels, V words."""

import bert_playground.logs  # noqa: F401 (silences the library's messages until they are asked for)
