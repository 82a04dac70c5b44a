"""Print results and summaries in the terminal, one file per kind."""
