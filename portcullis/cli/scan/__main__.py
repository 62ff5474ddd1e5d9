"""`python -m portcullis.scan`."""

import sys

from portcullis.scan.main import main

if __name__ == "__main__":
    sys.exit(main())
