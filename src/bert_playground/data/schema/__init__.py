"""What a table is: target, id and task, known data sets, leakage, sampling of large tables."""
