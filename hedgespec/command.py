"""The command line, as results name it."""

import sys
from pathlib import Path


def command_line() -> list[str]:
    """Program and arguments of this process, the program without its folder."""
    path = Path(sys.argv[0])
    return [path.parent.name if path.name == "__main__.py" else path.name, *sys.argv[1:]]
