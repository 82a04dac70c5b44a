"""Where curves go besides metrics.csv."""
