"""The site: ``make book`` builds it, executing every chapter."""

import os
import platform
import sys
import tomllib
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]
ADDED = [str(HERE.parent), str(HERE / "_ext")]
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # quickest for small networks, same sums everywhere
os.environ["PYTHONPATH"] = os.pathsep.join([*ADDED, *filter(None, [os.environ.get("PYTHONPATH")])])

project = "tinygrad_cnn"
author = "the tinygrad_cnn authors"
copyright = f"2026, {author}"
version = release = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton", "drawing", "generate", "inline", "mathml"]
exclude_patterns = ["_build", "_ext", "_templates", "images"]
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|contextlib|np|numpy|os|pathlib|types|typing|weakref)\..*"),  # other people's pages
    # Names of types in annotations
    (
        r"py:class",
        r"Array|Change|CodeType|Dims|Graph|Level|NativePlan|Plan|ReferenceType|Report|Role|Scheme|TensorLike"
        r"|tinygrad_cnn\.(checkpoint\.F|draw\.(Traced|WithGraph|dot\.Style|scene\.Wish))",
    ),
    (r"py:data", r".*"),  # constants have no page
]

# Chapters: executed on every build, for a cache would not notice that the package has changed.
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_show_tb = True  # a failing cell is a warning, which stops the build at its end with all of them shown
nb_merge_streams = True  # what a cell prints is one piece, also where a picture stands between
nb_output_stderr = "remove"  # what libraries say about the machine's fonts and sockets is no part of a chapter
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"tinygrad_cnn {version}"
html_math_renderer = "mathml"
pygments_dark_style = "github-dark"  # furo's own underlines names of classes, which then look like links
html_static_path = ["_static"]
templates_path = ["_templates"]
html_context = {"python_version": platform.python_version(), "numpy_version": metadata.version("numpy")}
html_favicon = "_static/icon.svg"
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
