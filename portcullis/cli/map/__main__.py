"""`python -m portcullis.map`."""

import sys

from portcullis.map.main import main

if __name__ == "__main__":
    sys.exit(main())
