"""Log curves and results to other services, and record code, libraries and hardware."""
