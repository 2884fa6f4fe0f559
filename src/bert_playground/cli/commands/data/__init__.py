"""bert data …: describe and preview tables, assign cross-validation folds."""
