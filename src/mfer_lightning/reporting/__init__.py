"""Report results: tables in the terminal, and the report of a study."""
