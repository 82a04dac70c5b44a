"""How a report looks: figures, the web page, Markdown, LaTeX and CSV, written from :mod:`..study` alone."""
