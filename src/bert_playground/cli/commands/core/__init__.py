"""The commands at the top: train, predict, evaluate, info, benchmark, quickstart."""
