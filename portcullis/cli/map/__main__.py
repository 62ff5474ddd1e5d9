"""`python -m portcullis.cli.map`."""

import sys

from portcullis.cli.map.main import main

if __name__ == "__main__":
    sys.exit(main())
