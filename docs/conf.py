"""Sphinx configuration of the documentation site: ``make docs`` writes it to docs/_build/html."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from mfer_lightning.version import __version__

project = "mfer_lightning"
author = project_copyright = "the mfer_lightning developers"
release = version = __version__

extensions = [
    "myst_nb",  # Markdown pages and the notebooks
    "sphinx.ext.apidoc",  # a page for each package, written into reference/
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # Google-style docstrings
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]

exclude_patterns = ["_build", "tools", "figures"]

myst_heading_anchors = 4  # the anchors that GitHub makes, so that links work in both places
myst_enable_extensions = ["attrs_inline", "dollarmath"]
nb_execution_mode = "off"  # the site shows the stored outputs; tests run the notebooks
nb_merge_streams = True  # one block for everything that a cell prints

apidoc_modules = [
    {
        "path": "../src/mfer_lightning",
        "destination": "reference",
        "exclude_patterns": ["**/__main__.py"],
        "max_depth": 2,
        "separate_modules": False,
        "module_first": True,
        "automodule_options": {"members", "show-inheritance"},
    }
]
# A class is documented in its own module, not again in its package.
autodoc_default_options = {"ignore-module-all": True}
napoleon_use_ivar = True
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # default arguments as in the source, not as long values
autodoc_class_signature = "mixed"
add_module_names = False

highlight_language = "none"  # blocks without a language are formulas, folders and output, not Python

html_theme = "furo"
html_title = f"mfer_lightning {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

LONGEST_VALUE = 60  # characters of a constant's value in the API reference
NOTEBOOKS = Path(__file__).with_name("notebooks").resolve()  # a link to the folder at the top of the repository


def attribute_comments(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Prevent napoleon from reading ``First words: rest`` in an attribute's comment as ``type: description``."""
    if what in {"attribute", "data", "property"} and lines:
        lines.insert(0, "\\")  # an escaped line break, which reStructuredText removes


def resolve_links(app: Sphinx, doctree: nodes.document) -> None:
    """Link to the pages of notebooks, and link names in docstring fields only to exact matches.

    ``docs/notebooks`` is a symbolic link. MyST resolves it and then does not find the page. Sphinx also looks up the
    types and names in docstring fields by their last part, so ``bytes`` would link to any attribute of that name.
    """
    for node in doctree.findall(addnodes.pending_xref):
        target = Path(node["reftarget"])
        if node.get("reftype") == "myst" and target.parent == NOTEBOOKS:
            node["reftarget"] = f"notebooks/{target.name}"
        if node.get("refdomain") == "py" and not node.rawsource:  # a field, not a role
            node.attributes.pop("refspecific", None)


def hide_long_values(app: Sphinx, doctree: nodes.document) -> None:
    """Remove the values of constants that do not fit on a line, such as tables of names; autodoc has no limit."""
    for annotation in list(doctree.findall(addnodes.desc_annotation)):
        value = annotation.astext()
        if value.lstrip().startswith("=") and len(value) > LONGEST_VALUE:
            annotation.parent.remove(annotation)


def setup(app: Sphinx) -> None:
    """Register the functions above with Sphinx."""
    app.connect("autodoc-process-docstring", attribute_comments, priority=400)  # before napoleon
    app.connect("doctree-read", resolve_links)
    app.connect("doctree-read", hide_long_values)
