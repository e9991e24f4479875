"""Sphinx settings: `make docs` builds these pages into build/docs with every warning an error."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout documents itself, not an installed copy

import ussim

project = "ussim"
author = "The ussim authors"
copyright = "The ussim authors, Apache-2.0"
release = version = ussim.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
root_doc = "index"
language = "en"
nitpicky = True

# Pages are read on a code host too: plain Markdown, links to files, anchors from headings.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# API reference -------------------------------------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 90

# Other projects' pages are not fetched, so their names are not linked; every name of ours must resolve.
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|np|pathlib|zarr|torch|pydantic|collections|PIL|threading|typing|types|annotated_types)(\..*)?"),
    # Napoleon takes the first words of "a, b: what they are" for a type; classes have a capital letter.
    (r"py:class", r"[a-z0-9_. ]+"),
    # Bounds of a setting, shown with its type.
    (r"py:class", r"Field|AfterValidator|FiniteFloat|_Fields|(ge|gt|le|lt|min_length|max_length)=.+"),
]
# Imported for annotations alone, or inner types that a public signature names.
nitpick_ignore = [
    *(
        ("py:class", name)
        for name in ("Any", "BaseModel", "Callable", "Path", "Sequence", "Inputs", "Split", "Settings", "Series")
    ),
    *(
        ("py:class", f"translate.{name}")
        for name in (
            "evaluation.collect.FrameFigures",
            "evaluation.distances.KernelDistance",
            "evaluation.features.Extractor",
            "evaluation.figures.Example",
            "use.inference.Engine",
            "use.spread.Spread",
            "model.networks.UNet",
            "evaluation.speckle.Statistics",
            "evaluation.results.Steadiness",
        )
    ),
    ("py:class", "ussim.dataset.job.FrameRenderer"),
    *(("py:class", name) for name in ("Packing", "Store")),
    ("py:class", "ussim.dataset.schema.ArraySpec"),
    ("py:attr", "surfaces"),  # fields stand in a list of their class, not as objects of their own
]

# HTML ------------------------------------------------------------------------------------------------------
html_theme = "furo"
html_title = f"ussim {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e8f", "color-brand-content": "#0b6e8f"},
    "dark_css_variables": {"color-brand-primary": "#5cc3e6", "color-brand-content": "#5cc3e6"},
}
copybutton_prompt_text = r">>> |\$ "
copybutton_prompt_is_regexp = True
suppress_warnings: list[str] = []


def _without_field_list(_app, what, _name, thing, _options, signature, returns):
    """Settings are listed under "Attributes" with their meaning; a constructor of twenty keywords repeats them."""
    is_settings = what == "class" and hasattr(thing, "__pydantic_fields__")
    return ("(**settings)", returns) if is_settings else (signature, returns)


def _keep_first_line(_app, _what, _name, thing, _options, lines):
    """Napoleon reads "shape: meaning" at the head of a property as its type; it leaves a colon inside a role alone."""
    if lines and isinstance(thing, property | cached_property):
        lines[0] = lines[0].replace(": ", r"\ :colon:`:` ", 1)


def setup(app) -> None:
    """Sphinx's entry point."""
    app.add_generic_role("colon", nodes.inline)
    app.connect("autodoc-process-signature", _without_field_list)
    app.connect("autodoc-process-docstring", _keep_first_line, priority=400)  # before napoleon, which has 500
