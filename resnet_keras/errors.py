"""The one error that is meant for the person at the keyboard."""


class UserError(ValueError):
    """Something given from outside cannot be used.

    The message is one clear line: what was given, what is allowed, and what to do. The command line prints it
    without a traceback.
    """
