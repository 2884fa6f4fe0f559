"""bert runs: list, show, compare, open, report and remove run folders."""
