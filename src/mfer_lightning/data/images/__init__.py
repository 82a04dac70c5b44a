"""Images: where they come from (``sources``), how bytes become pixels (``decode``), and the cache of decoded ones."""
