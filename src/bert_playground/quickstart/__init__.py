"""The first run: a real table with text, our scores beside honest baselines, a submission."""
