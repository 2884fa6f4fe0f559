"""The colours of all pictures."""

INK, QUIET = "#22303c", "#8a97a3"  # text; axes and marks beside it
TRAIN, VALIDATION, BEST = "#2f7ebc", "#d9622b", "#2a9d5c"
GRID, AXIS = "#e6eaee", "#c9d1d8"
