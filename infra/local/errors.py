"""What the local stack tells its user."""


class LocalError(Exception):
    """Raised with a sentence that says what to do; shown without a traceback."""
