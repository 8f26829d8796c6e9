"""`python -m bitext` is the `bitext` command."""

import sys

from bitext.pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
