"""`python -m beethoven`, the same as the `beethoven` command."""

import sys

from beethoven.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
