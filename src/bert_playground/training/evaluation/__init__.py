"""Scoring a checkpoint: evaluate, calibrate, thresholds, quantize; needs a predictor, never a trainer."""
