"""The one exception that is shown to a user without a traceback."""

# An error quotes at most so many characters of data from outside.
_QUOTED_LENGTH = 200


class UserError(Exception):
    """Something the user can mend: says what is wrong, where, and what to do.

    The command line prints the message alone and ends with exit code 2.
    """


def shorten(value: object, length: int = _QUOTED_LENGTH) -> str:
    """Return a value as text that fits into a message: printable, on one line, `length` characters at most."""
    text = str(value)[: length + 1]
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if len(text) <= length else text[: length - 1] + "…"
