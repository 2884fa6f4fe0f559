"""Settings chosen by trials of Optuna, and judged on rows that no trial has seen."""
