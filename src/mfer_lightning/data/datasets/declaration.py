"""The declaration of a dataset: everything that is known of it before its files are read.

Documentation, class-order checks, model cards, error messages and refusals derive from it, so that a dataset is
described in one place: the file that also holds its datamodule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mfer_lightning.data.protocols import Protocol
from mfer_lightning.emotions import canonical

#: What a model card says where nothing is known of the data's licence.
UNKNOWN_LICENCE = "not known to mfer_lightning: state it here before you pass the model on."

#: Training targets of a dataset whose files give one label a face.
LABEL_TARGETS = ("label", "majority")


class Layout(NamedTuple):
    """A way in which the files may lie on disk.

    Attributes:
        name: as ``FaceIndex.layout`` reports it.
        files: the files or folders by which it is recognised, in words, for the message that none was found.
    """

    name: str
    files: str


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset declares.

    Args:
        name: the choice of ``dataset=``, and the first half of its protocols' names.
        title: the name that people use.
        paper: citation.
        access: where an official copy comes from, in words.
        protocols: the default first; their names begin with ``<name>@``. One may leave some of the classes out.
        layouts: the layouts that are read, in the order in which they are looked for.
        class_names: canonical emotions in the dataset's own order; empty if the files name the classes.
        targets: the rules that make training targets from its labels.
        licence: its terms in a sentence, for model cards.
        licence_id: what model hubs call them, e.g. ``"mit"``, where weights trained on the faces may be under the same;
            None: for the user to find out.
        marks: files and folders at its root that no other dataset has.
        size: side of its images in pixels; None: they differ.
        grey: whether its images have no colour.
        alignment: how the published faces are aligned, in words.
        template: name of the alignment template that is nearest to the published faces; None: it was not measured.
        first_number: the number that its own files give to the first class; None: they number no classes.
        file_names: pattern of its own file names without folders, where no other dataset has such; ``""``: none.
        named_like: datasets whose pattern of file names its own files may fit as well.
        shares_faces_with: datasets that hold the same faces: no figure on one is independent of training on the other.

    Raises:
        ValueError: if the parts of the declaration contradict one another.
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

    def __post_init__(self) -> None:
        if not self.name or "@" in self.name:
            raise ValueError(f"Expected argument `name` to be a word without @, but got {self.name!r}.")
        if len(set(map(canonical, self.class_names))) != len(self.class_names):
            raise ValueError(f"Expected argument `class_names` without repetition, but got {self.class_names}.")
        if not self.protocols:
            raise ValueError(f"Expected argument `protocols` of {self.name} to hold at least one.")
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
                    raise ValueError(f"Expected {len(protocol.class_names)} counts of {protocol.name}, one a class.")
