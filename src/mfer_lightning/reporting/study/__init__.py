"""Compute the content of a report: group runs into methods, compare the methods, make tables and text.

Independent of the layout, which is in :mod:`mfer_lightning.reporting.pages`.
"""
