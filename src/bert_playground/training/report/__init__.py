"""The page of a run: curves, answers and errors on rows that were not trained on, what drove them, and how to go on."""
