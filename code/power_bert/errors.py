"""The one exception that is shown to a user without a traceback."""


class UserError(Exception):
    """Something the user can mend: says what is wrong, where, and what to do.

    The command line prints the message alone and ends with exit code 2.
    """
