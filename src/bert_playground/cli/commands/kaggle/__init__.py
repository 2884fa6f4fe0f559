"""bert kaggle …: competitions from start to ledger."""
