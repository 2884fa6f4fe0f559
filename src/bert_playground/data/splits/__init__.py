"""Training and validation rows, folds, and windows of series."""
