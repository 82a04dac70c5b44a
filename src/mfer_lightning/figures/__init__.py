"""Draw figures: functions take data and a path and write a PNG; those of panels return SVG as well."""
