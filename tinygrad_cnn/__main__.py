"""``python -m tinygrad_cnn``: the same as the console script ``tinygrad-cnn``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
