"""Log curves and results to other services, and record what a result was made with."""
