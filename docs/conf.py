"""Configuration of the documentation site: `make docs` builds it into build/docs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
CHECKOUT = DOCS.parent
# Document this checkout, not an installed version.
sys.path[:0] = [str(path) for path in (DOCS / "extensions", CHECKOUT, CHECKOUT / "cli", CHECKOUT / "synthetic")]

from bsv_store import __version__  # noqa: E402

project = "bsv-store"
author = "the bsv-store authors"
copyright = author  # noqa: A001
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "annotations",
    "closed_lists",
    "command_help",
    "public_types",
]
exclude_patterns = ["extensions", "notebooks/*.ipynb"]
# Every reference must be resolved. References to other projects stay text, since the build opens no connection.
nitpicky = True
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(abc|collections|contextlib|datetime|h5py|io|matplotlib|numpy|os|pandas|pathlib|sqlalchemy|typing|xarray)\..*",
    )
]
# Types of Store.files and Store.database, which are internal.
nitpick_ignore = [
    ("py:class", "bsv_store.volumes.files.StoreFiles"),
    ("py:class", "bsv_store.catalog.local_versions.LocalVersionRow"),
]
# Text in single backquotes in docstrings is a Python name.
default_role = "py:obj"
# Do not convert two hyphens to a dash: they begin an option.
smartquotes = False
highlight_language = "text"

# -- Python -----------------------------------------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
maximum_signature_line_length = 88
# Classes that occur in signatures of public classes, but that users do not need.
bsv_internal = frozenset({"Database", "Inputs", "StoreConfig", "StoreFiles"})
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True
viewcode_line_numbers = True

# -- Markdown ---------------------------------------------------------------------------------------------------------

# The pages are also read on the repository's web site, so links between them are relative paths.
myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3
# The pages that include the files beside docs/.
_PAGES = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "SECURITY.md": "security.md",
    "LICENSE": "license.rst",
}

# -- HTML -------------------------------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"bsv-store {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_sidebars = {"index": [], "cli": []}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "bsv-store"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navigation_with_keys": False,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def _rewrite_links(source: str) -> str:
    """Convert links between files of the repository to links between pages of the site."""

    def rewritten(link: re.Match[str]) -> str:
        file, anchor = link[1], link[2] or ""
        if file in _PAGES:
            return f"](/{_PAGES[file]}{anchor})"
        return f"](/{file.removeprefix('docs/')}{anchor})" if file.startswith("docs/") else link[0]

    return re.sub(r"\]\((?:\.\./)?([\w./-]+)(#[\w-]+)?\)", rewritten, source)


def _rewrite_page(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = _rewrite_links(source[0])


def _rewrite_included(app: Sphinx, path: Path, name: str, source: list[str]) -> None:
    source[0] = _rewrite_links(source[0])


def setup(app: Sphinx) -> None:
    """Rewrite the links of the pages and of the files that they include."""
    app.connect("source-read", _rewrite_page)
    app.connect("include-read", _rewrite_included)
