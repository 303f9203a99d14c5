"""The site: ``make book`` builds it, executing every chapter."""

import os
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))

project = "tinygrad_cnn"
author = "the tinygrad_cnn authors"
copyright = f"2026, {author}"
version = release = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton", "generate", "mathml"]
exclude_patterns = ["_build", "_ext"]
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|contextlib|np|numpy|os|pathlib|types|typing|weakref)\..*"),  # other people's pages
    # Names of types in annotations
    (r"py:class", r"Array|CodeType|Dims|Level|ReferenceType|Role|Scheme|TensorLike|tinygrad_cnn\.draw\.dot\.Style"),
    (r"py:data", r".*"),  # constants have no page
]

# Chapters: executed on every build, for a cache would not notice that the package has changed.
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_show_tb = True  # a failing cell is a warning, which stops the build at its end with all of them shown
nb_output_stderr = "remove"  # what libraries say about the machine's fonts and sockets is no part of a chapter
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"tinygrad_cnn {version}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
