"""Declaration of a dataset: everything that is known before its files are read.

Documentation, class-order checks, model cards and error messages use the declaration, so that a dataset is described in
one place: the file that also contains its datamodule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mfer_lightning.data.protocols import Protocol
from mfer_lightning.emotions import canonical

#: Entry in a model card if the licence of the data is unknown.
UNKNOWN_LICENCE = "unknown to mfer_lightning: state it here before you distribute the model."

#: Training targets of a dataset whose files contain one label per face.
LABEL_TARGETS = ("label", "majority")


class Layout(NamedTuple):
    """A directory layout of the files.

    Attributes:
        name: name reported as ``FaceIndex.layout``.
        files: files or folders that identify the layout, in words, for the error message.
    """

    name: str
    files: str


@dataclass(frozen=True)
class DatasetInfo:
    """Declaration of a dataset.

    Args:
        name: choice of ``dataset=``, and the part before ``@`` in the names of its protocols.
        title: usual name of the dataset.
        paper: citation of the paper.
        access: how to get an official copy, in words.
        protocols: the protocols, default first; their names begin with ``<name>@``. A protocol may leave out classes.
        layouts: supported layouts, in order of precedence.
        class_names: canonical emotions in the order of the dataset; empty if the files define the classes.
        targets: rules that derive training targets from its labels.
        licence: terms of the licence in a sentence, for model cards.
        licence_id: identifier on model hubs, e.g. ``"mit"``, if weights trained on the faces may use the same licence;
            None: to be determined by the user.
        marks: names of files and folders at its root that no other dataset has.
        size: side of its images in pixels; None: varies.
        grey: whether its images are greyscale.
        alignment: how the published faces are aligned, in words.
        template: name of the alignment template closest to the published faces; None: not measured.
        first_number: number of the first class in the label files; None: classes are not numbered.
        file_names: regular expression for its file names without folders, if unique to the dataset; empty: none.
        named_like: datasets whose ``file_names`` may also match its files.
        shares_faces_with: datasets with the same faces; results on one are not independent of training on the other.

    Raises:
        ValueError: if parts of the declaration contradict each other.
    """

    name: str
    title: str
    paper: str
    access: str
    protocols: tuple[Protocol, ...]
    layouts: tuple[Layout, ...]
    class_names: tuple[str, ...] = ()
    targets: tuple[str, ...] = LABEL_TARGETS
    licence: str = UNKNOWN_LICENCE
    licence_id: str | None = None
    marks: tuple[str, ...] = ()
    size: int | None = None
    grey: bool = False
    alignment: str = ""
    template: str | None = None
    first_number: int | None = 0
    file_names: str = ""
    named_like: tuple[str, ...] = ()
    shares_faces_with: tuple[str, ...] = ()

    @property
    def user_defined(self) -> bool:
        """Whether the files define the classes, so that two copies may contain different faces."""
        return not self.class_names

    def __post_init__(self) -> None:
        if not self.name or "@" in self.name:
            raise ValueError(f"Expected argument `name` to be a word without @, but got {self.name!r}.")
        if len(set(map(canonical, self.class_names))) != len(self.class_names):
            raise ValueError(f"Expected argument `class_names` without repetition, but got {self.class_names}.")
        if not self.protocols:
            raise ValueError(f"Expected argument `protocols` of {self.name} to contain at least one.")
        for protocol in self.protocols:
            if protocol.dataset != self.name or not protocol.short_name:
                raise ValueError(f"Expected protocols called {self.name}@..., but got {protocol.name}.")
            some = tuple(name for name in self.class_names if name in protocol.class_names)
            if protocol.class_names != some or (some != self.class_names and len(some) < 2):
                raise ValueError(
                    f"Expected {protocol.name} with the classes of its dataset, {self.class_names}, or some of them in "
                    "this order."
                )
            for expected in protocol.expected:
                if isinstance(expected.count, tuple) and len(expected.count) != len(protocol.class_names):
                    raise ValueError(f"Expected {len(protocol.class_names)} counts of {protocol.name}, one per class.")
