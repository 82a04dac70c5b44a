"""Images: their sources (``sources``), decoding (``decode``), and the cache of decoded images."""
