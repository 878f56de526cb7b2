"""The errors of the host.

HostError
├── PortError                the requested port cannot be used
│   ├── PortInUseError       another program listens on it
│   └── PortDeniedError      the system does not allow this user to listen on it
├── JournalError             the file of the orchestrations under way cannot be read
├── AppLoadError             function_app.py could not be imported or indexed
├── AppConfigError           a binding or host.json refers to something that does not exist
├── WorkerDiedError          the worker died before it responded, and there is no redelivery
├── WorkerUnavailableError   the worker died too often to be started again, or the host stops
└── InvocationFailedError    the function raised
"""


class HostError(Exception):
    """The base of every error that the host raises on purpose."""


class PortError(HostError):
    """Raised at start when the port cannot be used."""


class PortInUseError(PortError):
    """Raised at start when another program listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is already in use. Choose another with --port.")


class PortDeniedError(PortError):
    """Raised at start when the system does not allow this user to listen on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} is not allowed for this user. Choose one above 1023 with --port."
        )


class JournalError(HostError):
    """Raised at start when the file of the orchestrations under way is not a journal."""


class AppLoadError(HostError):
    """Raised at start when the app cannot be imported or indexed."""


class AppConfigError(HostError):
    """Raised at start when host.json is invalid, or a binding's setting, route or connection is."""


class WorkerDiedError(HostError):
    """Raised to the caller when the worker dies during an invocation."""


class WorkerUnavailableError(HostError):
    """Raised to every caller once there will be no worker any more."""


class InvocationFailedError(HostError):
    """Raised when the function raised; carries the exception's type, message and stack."""

    def __init__(self, error_type: str, message: str, stack: str) -> None:
        super().__init__(f"{error_type}: {message}" if message else error_type)
        self.error_type = error_type
        self.message = message
        self.stack = stack

    @classmethod
    def from_worker(cls, text: str, stack: str) -> "InvocationFailedError":
        """Split the worker's ``Type: message`` into type and message."""
        error_type, _, message = text.partition(": ")
        return cls(error_type, message, stack)
