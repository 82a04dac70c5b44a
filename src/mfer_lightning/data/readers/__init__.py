"""Readers: what a dataset's files on disk say, as a :class:`~mfer_lightning.data.index.FaceIndex`.

The conventions of a reader ``read_<dataset>(root, ...) -> FaceIndex``:

- pure Python and NumPy over paths: no image is decoded, nothing is written, torch is not imported;
- it detects which of the known layouts it stands before and says so in ``layout`` (a constant of the module);
- it reports what the files say; which faces are used, and under which label, is the protocol's business;
- rows come in a fixed order (that of the list file, or sorted by name), partitions in the order train, val, test;
- every mistake in the files is a ``UserError`` that names the file and the line (:mod:`.common` has the usual ones).
"""
