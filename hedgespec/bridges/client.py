"""Asks a server, again where that may help, and says in one line why it got no answer."""

import time
from threading import Event
from typing import Any

from hedgespec.bridges.crew import STEP
from hedgespec.errors import HedgespecError, arg, shortened

_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # states that may pass
_UNAUTHORIZED = 401


class ServerError(HedgespecError):
    """A server that cannot be reached, refuses, or answers what it should not."""


class Client:
    """Requests to one server, which errors call `name`. Several threads may ask at once."""

    def __init__(
        self,
        name: str,
        address: str,
        timeout: float,
        retries: int,
        pause: float = _PAUSE,
        key: str | None = None,
    ):
        """`timeout` in seconds for each reply; of `retries` further tries the first comes after
        `pause` seconds, each other after twice the pause before. `key` goes with each request as
        a bearer's, and stands in no error. Raises HedgespecError without httpx, ServerError for
        what is no address."""
        try:
            import httpx
        except ImportError as error:
            raise HedgespecError(
                "httpx is not installed; recording from servers needs it: pip "
                "install 'hedgespec[servers]'"
            ) from error
        self.name, self.address = name, address.rstrip("/")
        self._timeout, self._retries, self._pause, self._key = timeout, retries, pause, key
        try:
            self._http = httpx.Client(
                base_url=self.address,
                timeout=timeout,
                headers={"Authorization": f"Bearer {key}"} if key else {},
            )
        except httpx.InvalidURL as error:
            raise ServerError(f"server {name} ({address}): is no address ({error})") from error
        self._stopped = Event()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON of a reply. Raises ServerError."""
        return self._asked("POST", path, body)

    def get(self, path: str) -> Any:
        """The JSON of a reply. Raises ServerError."""
        return self._asked("GET", path, None)

    def found(self, path: str) -> Any:
        """The JSON at `path`, None if there is none. Raises ServerError where nothing answers, or
        wants a key."""
        try:
            return self._asked("GET", path, None)
        except KeyRefusedError:
            raise
        except RefusedError:
            return None

    def fault(self, path: str, field: str, problem: str) -> ServerError:
        """An error that says which field of a reply is wrong."""
        return ServerError(
            f"server {self.name} ({self.address}{path}): field {field}: {self._shown(problem)}"
        )

    def stop(self) -> None:
        """Let requests of other threads end at their next try."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        where, problem = f"server {self.name} ({method} {self.address}{path})", ""
        for tries in range(self._retries + 1):
            if tries:
                self._wait(min(self._pause * 2 ** (tries - 1), _LONGEST_PAUSE))
            if self._stopped.is_set():
                raise ServerError(f"{where}: not asked any more")
            try:
                return self._tried(method, path, body, where)
            except _PassingError as error:
                problem = str(error)
        raise ServerError(f"{where}: {problem}, in {self._retries + 1} tries")

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stopped.wait(min(left, STEP)):
            pass

    def _tried(self, method: str, path: str, body: dict[str, Any] | None, where: str) -> Any:
        """What a server replies. Raises _PassingError for what may be otherwise next time."""
        import httpx

        started = time.perf_counter()
        try:
            reply = self._http.request(method, path, json=body)
        except httpx.TimeoutException as error:
            seconds = time.perf_counter() - started
            raise _PassingError(
                f"no reply within {seconds:.3g} s ({arg('timeout')} {self._timeout:g})"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _PassingError(
                f"no answer ({self._shown(str(error) or type(error).__name__)})"
            ) from error
        state = f"status {reply.status_code}: {self._shown(reply.text)}"
        if reply.status_code in _PASSING:
            raise _PassingError(state)
        if reply.status_code == _UNAUTHORIZED:
            named = f"{arg('key_variable')} names the environment variable that holds it"
            hint = f"it wants a key: {named}"
            if self._key:
                hint = "it does not take the key that was given"
            raise KeyRefusedError(f"{where}: {state}; {hint}")
        if reply.status_code != 200:
            raise RefusedError(f"{where}: {state}")
        try:
            return reply.json()
        except ValueError as error:
            raise RefusedError(f"{where}: the reply is no JSON ({error})") from error

    def _shown(self, text: str) -> str:
        """What a server or a library wrote: without the key, and not at length."""
        return shortened(text.replace(self._key, "***") if self._key else text, 400)


class RefusedError(ServerError):
    """A server that answers, and says no: asking again does not help."""


class KeyRefusedError(RefusedError):
    """A server that wants a key, or another one."""


class _PassingError(Exception):
    """Why a server did not reply this time."""
