"""Settings chosen by trials: a space, a study, and a verdict on rows that no trial has seen."""
