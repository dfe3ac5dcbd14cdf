"""Asks a server, again where that may help, and says in one line why it got no answer."""

import time
from threading import Event
from typing import Any

from hedgespec.errors import HedgespecError, arg, shortened

_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # states that may pass


class ServerError(HedgespecError):
    """A server that cannot be reached, refuses, or answers what it should not."""


class Client:
    """Requests to one server, which errors call `name`. Several threads may ask at once."""

    def __init__(self, name: str, address: str, timeout: float, retries: int,
                 pause: float = _PAUSE):
        """`timeout` in seconds for each reply; of `retries` further tries the first comes after
        `pause` seconds, each other after twice the pause before. Raises HedgespecError without
        httpx."""
        try:
            import httpx
        except ImportError as error:
            raise HedgespecError("httpx is not installed; recording from servers needs it: pip "
                                 "install 'hedgespec[servers]'") from error
        self.name, self.address = name, address.rstrip("/")
        self._timeout, self._retries, self._pause = timeout, retries, pause
        self._http = httpx.Client(base_url=self.address, timeout=timeout)
        self._stopped = Event()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON of a reply. Raises ServerError."""
        return self._asked("POST", path, body)

    def get(self, path: str) -> Any:
        """The JSON of a reply. Raises ServerError."""
        return self._asked("GET", path, None)

    def found(self, path: str) -> Any:
        """The JSON at `path`, None if there is none. Raises ServerError where nothing answers."""
        try:
            return self._asked("GET", path, None)
        except RefusedError:
            return None

    def fault(self, path: str, field: str, problem: str) -> ServerError:
        """An error that says which field of a reply is wrong."""
        return ServerError(f"server {self.name} ({self.address}{path}): field {field}: {problem}")

    def stop(self) -> None:
        """Let requests of other threads end at their next try."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        where = f"server {self.name} ({method} {self.address}{path})"
        for left in range(self._retries, -1, -1):
            if self._stopped.is_set():
                raise ServerError(f"{where}: not asked any more")
            problem, retried = self._tried(method, path, body, where)
            if not isinstance(problem, str):
                return problem.value
            if left and retried:
                tries = self._retries - left
                self._stopped.wait(min(self._pause * 2**tries, _LONGEST_PAUSE))
            elif retried:
                raise ServerError(f"{where}: {problem}, in {self._retries + 1} tries")
            else:
                raise RefusedError(f"{where}: {problem}")
        raise AssertionError

    def _tried(
        self, method: str, path: str, body: dict[str, Any] | None, where: str
    ) -> "tuple[_Reply | str, bool]":
        """What a server replies, or what is wrong; and whether it may be otherwise next time."""
        import httpx

        started = time.perf_counter()
        try:
            reply = self._http.request(method, path, json=body)
        except httpx.TimeoutException:
            seconds = time.perf_counter() - started
            return (f"no reply within {seconds:.3g} s ({arg('timeout')} {self._timeout:g})"), True
        except httpx.HTTPError as error:
            return f"no answer ({shortened(str(error) or type(error).__name__, 200)})", True
        if reply.status_code != 200:
            text = shortened(reply.text, 400)
            return f"status {reply.status_code}: {text}", reply.status_code in _PASSING
        try:
            return _Reply(reply.json()), False
        except ValueError as error:
            return f"the reply is no JSON ({error})", False


class RefusedError(ServerError):
    """A server that answers, and says no: asking again does not help."""


class _Reply:
    def __init__(self, value: Any):
        self.value = value
