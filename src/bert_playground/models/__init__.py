"""Encoders, heads, adapters and their files; shapes are B batch, T tokens, H hidden, N heads, D head size, L labels, V words."""
