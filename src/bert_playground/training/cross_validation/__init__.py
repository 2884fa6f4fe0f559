"""Models on every fold of a table, their out-of-fold answers, and the blend that answers for all."""
