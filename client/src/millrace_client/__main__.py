"""Entry point: `python -m millrace_client`."""

import sys

from millrace_client.cli import main

sys.exit(main())
