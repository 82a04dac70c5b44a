"""What a report says: runs put together into methods, methods compared, everything as plain tables and words.

Nothing here knows how a report looks; :mod:`mfer_lightning.report.pages` writes it down.
"""
