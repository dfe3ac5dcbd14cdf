"""What made a result: the command line, and the versions of the packages."""

import sys
from importlib.metadata import version
from pathlib import Path

from hedgespec.files import as_unicode, without_folders
from hedgespec.version import __version__


def command_line() -> list[str]:
    """Program and arguments of this process, the program without its folder."""
    path = Path(sys.argv[0])
    name = path.parent.name if path.name == "__main__.py" else path.name
    return [as_unicode(word) for word in (name, *sys.argv[1:])]


def command_to_pass_on() -> list[str]:
    """The same for what leaves this machine: of a path that is there its last part alone."""
    return [without_folders(word) for word in command_line()]


def package_versions(*names: str) -> dict[str, str]:
    """Versions of hedgespec and of some packages that it works with."""
    return {"hedgespec": __version__, **{name: version(name) for name in names}}
