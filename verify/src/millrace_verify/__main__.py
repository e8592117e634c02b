"""`python -m millrace_verify`."""

import sys

from millrace_verify.cli import main

if __name__ == "__main__":
    sys.exit(main())
