"""The competition loop: a project folder, what is sent, and the ledger of scores."""
