"""`python -m portcullis.cli.scan`."""

import sys

from portcullis.cli.scan.main import main

if __name__ == "__main__":
    sys.exit(main())
