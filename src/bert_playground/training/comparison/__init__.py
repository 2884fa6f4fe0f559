"""Runs side by side: their settings, their curves, and whether one is shown to be better than another."""
