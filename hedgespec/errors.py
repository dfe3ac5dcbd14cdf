"""The one exception that users see as a message instead of a traceback."""


class HedgespecError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do."""


class TraceError(HedgespecError):
    """A trace directory that is damaged, incomplete or of another version."""
