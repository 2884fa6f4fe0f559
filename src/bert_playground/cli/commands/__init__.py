"""One folder per group of commands, one file per command."""
