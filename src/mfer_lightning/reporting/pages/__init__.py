"""Write a report as web page, Markdown, LaTeX and CSV, with figures, from the data of :mod:`..study`."""
