"""What the rooms of data share: batches and loaders, and what a table is."""
