"""Entry point: `python -m client`, and the front door's verbs of the client."""

import sys

from client.cli import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    sys.exit(main())
