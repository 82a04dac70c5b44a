"""Print results in the terminal, one file per table."""
