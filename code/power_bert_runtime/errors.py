"""The exception that is shown to a user without a traceback."""

# Error messages quote at most this many characters of external data.
_QUOTED_LENGTH = 200


class UserError(Exception):
    """Error that the user can fix; its message says what is wrong, where, and what to do.

    The command line prints the message alone and exits with status 2.
    """


def shorten(value: object, length: int = _QUOTED_LENGTH) -> str:
    """Return a value as text for a message: printable, on one line, at most `length` characters."""
    text = str(value)[: length + 1]
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if len(text) <= length else text[: length - 1] + "…"
