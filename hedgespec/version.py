"""The version of hedgespec, as results name it, and the commit that it was made from."""

import json
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

__version__ = "0.1.0"

_ROOT = Path(__file__).parents[1]


def version_and_commit() -> str:
    """The version; behind it in brackets the commit of a clone, or of what pip took from one."""
    commit = _of_clone(_ROOT) or _of_installation()
    return f"{__version__} ({commit})" if commit else __version__


def _of_clone(root: Path) -> str:
    """The commit that is checked out, with "-dirty" where files were changed; "" without git."""
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            [
                "git",
                "-C",
                str(root),
                "describe",
                "--always",
                "--dirty",
                "--exclude=*",
                "--abbrev=12",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _of_installation() -> str:
    """The commit that pip noted (PEP 610) for `pip install git+https://...`; else ""."""
    try:
        noted = distribution("hedgespec").read_text("direct_url.json")
    except PackageNotFoundError:
        return ""
    found: dict[str, dict[str, str]] = json.loads(noted or "{}")
    return found.get("vcs_info", {}).get("commit_id", "")[:12]
