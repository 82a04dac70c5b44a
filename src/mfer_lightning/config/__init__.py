"""The composed configuration: its types, where its files are, and the one place that turns it into objects."""
