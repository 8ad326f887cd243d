"""The exit codes of the command line, and the text that documents them."""

from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CONFIG: Final = 3
NOT_RUNNING: Final = 3
ALREADY_RUNNING: Final = 5

EPILOG: Final = """\
exit codes:
  0  done
  1  it failed; standard error says why; of `doctor`: it found a problem
  2  the command line is wrong
  3  the configuration is wrong; of `status`: something that should run does not
  5  a node of that name runs already
  130  `run` was ended at once by a second Ctrl-C
"""
