"""Settings of the training path chosen by trials: a space, a study of Optuna, and a verdict on rows that no trial has seen."""
