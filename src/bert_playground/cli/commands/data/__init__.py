"""What training would read of a table: describe, preview."""
