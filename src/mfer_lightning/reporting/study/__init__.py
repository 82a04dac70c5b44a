"""Work out what a report says: group runs into methods, compare the methods, make plain tables and text.

Nothing here knows how a report looks; :mod:`mfer_lightning.reporting.pages` writes it down.
"""
