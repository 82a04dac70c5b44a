"""One training run: configuration checked, parts built, trained, resumed, and finished with its result."""
