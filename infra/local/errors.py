"""The errors of the local stack's commands: a sentence that says what to do, and an exit status.

LocalError           4   a part of the stack does not start, or does not do what it should
├── UsageError       2   an argument, an app setting, a file or a folder has to be changed
└── StackStateError  3   no stack runs, it stopped meanwhile, or one runs already
"""

from typing import ClassVar


class LocalError(Exception):
    """Raised with a message that says what to do; printed without a traceback."""

    exit_status: ClassVar[int] = 4


class UsageError(LocalError):
    """Raised when an argument, an app setting, a file or a folder has to be changed."""

    exit_status: ClassVar[int] = 2


class StackStateError(LocalError):
    """Raised when no stack runs, when it stopped meanwhile, or when one runs already."""

    exit_status: ClassVar[int] = 3
