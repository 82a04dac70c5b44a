"""Training: check the configuration, build the parts, train or resume, evaluate, write the result."""
