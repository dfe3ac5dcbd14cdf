"""A headless Chromium, driven over its debugging pipe: messages in JSON, each ended by a zero byte.

What is done in it is real: keys are pressed, media are switched, requests and errors are recorded.
"""

import base64
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
    "about:blank",
)
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), " ": (32, " "), "ArrowRight": (39, "")}


def installed() -> str | None:
    """Path of a Chromium, None without."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a new, empty profile.

    `said` are errors and console messages, `asked` the addresses requested.
    """

    def __init__(self, program: str, profile: Path):
        self.said: list[str] = []
        self.asked: list[str] = []
        self._number, self._session, self._buffer = 0, "", b""
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        command = shlex.join([program, f"--user-data-dir={profile}", *SWITCHES])
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command} 3<&0 4>&1 0</dev/null 1>&2"],
            stdin=read,
            stdout=write,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and wait for its result; what happens meanwhile is noted."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            pass
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, address: str) -> None:
        """Load a page and wait for it, and for its promise `ready`, if it makes one."""
        self.send("Page.navigate", url=address)
        self.run(
            "new Promise(done => document.readyState === 'complete' ? done()"
            " : addEventListener('load', () => done()))"
        )
        self.run("typeof ready === 'undefined' ? null : ready")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        code, text = KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def media(self, scheme: str, medium: str = "screen") -> None:
        """Prefer the colours `scheme`, light or dark, on screen or in print."""
        self.send(
            "Emulation.setEmulatedMedia",
            media=medium,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def window(self, width: int, height: int) -> None:
        """Give the page a window of this size, in pixels of 1/96 inch."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def picture(self, path: Path) -> None:
        """Save what is seen in the window as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the browser."""
        os.close(self._out)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        os.close(self._in)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError(f"the browser ended with {self._process.wait()}")
            self._buffer += part
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        happened, what = message.get("method"), message.get("params", {})
        if happened == "Network.requestWillBeSent":
            self.asked.append(what["request"]["url"])
        elif happened == "Runtime.consoleAPICalled":
            self.said.append(str(what["args"]))
        elif happened == "Runtime.exceptionThrown":
            self.said.append(str(what["exceptionDetails"]))
        elif happened == "Log.entryAdded":
            self.said.append(what["entry"]["text"])
        return message
