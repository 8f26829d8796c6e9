"""`python -m bitext` is the `bitext` command."""

import sys

from bitext.pipeline.entry import main

if __name__ == "__main__":
    sys.exit(main())
