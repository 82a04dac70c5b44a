"""Write the content from :mod:`mfer_lightning.reporting.study` as a web page, Markdown, LaTeX and CSV, with figures."""
