"""Sphinx configuration of the documentation site: ``make docs`` writes it to docs/_build/html."""

from __future__ import annotations

from mfer_lightning.version import __version__

project = "mfer_lightning"
author = "the mfer_lightning developers"
release = version = __version__

extensions = [
    "myst_nb",  # Markdown pages and the notebooks, whose stored outputs are shown
    "sphinx.ext.apidoc",  # a page for each module, written into reference/
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # Google-style docstrings
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]

exclude_patterns = ["_build", "tools", "figures"]

myst_heading_anchors = 4  # the anchors that GitHub makes, so that links work in both places
myst_enable_extensions = ["attrs_inline", "dollarmath"]
nb_execution_mode = "off"  # tests run the notebooks

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
autodoc_class_signature = "mixed"
add_module_names = False

html_theme = "furo"
html_title = f"mfer_lightning {__version__}"
