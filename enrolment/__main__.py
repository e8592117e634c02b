"""`python -m enrolment --config enrolment.toml`: the door of the local stack's enrolment."""

import sys

from enrolment.door import main

if __name__ == "__main__":
    sys.exit(main())
