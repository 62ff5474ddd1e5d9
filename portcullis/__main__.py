"""`python -m portcullis` runs the command `portcullis`."""

import sys

from portcullis.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
