"""The error of the local stack's commands."""


class LocalError(Exception):
    """Raised with a message that says what to do; printed without a traceback."""
