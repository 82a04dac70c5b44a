"""Draw figures: functions take data and a path and write a PNG; panel functions also return SVG."""
