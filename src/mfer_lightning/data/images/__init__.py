"""Images: decoded once, kept in a memory-mapped cache, read by row."""
