"""The shape letters: B batch, T tokens, H hidden, N heads, D head size, L labels, V words."""
