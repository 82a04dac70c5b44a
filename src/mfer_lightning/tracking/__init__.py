"""Where curves and results go besides the run's folder, and what a result was made with."""
