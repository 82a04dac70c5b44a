"""Write a report as web page, Markdown, LaTeX and CSV, with its figures, from :mod:`..study` alone."""
