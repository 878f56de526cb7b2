"""What can go wrong in the host.

HostError
├── PortInUseError          another program listens on the port asked for
├── AppLoadError            function_app.py could not be imported or indexed
├── AppConfigError          a binding or host.json asks for what is not there
├── WorkerLostError         the worker died before it answered, and nobody asks it again
├── WorkerGivenUpError      the worker keeps dying; it is not started again
└── InvocationFailedError   the function itself raised
"""


class HostError(Exception):
    """The root: everything the host raises on purpose."""


class PortInUseError(HostError):
    """Raised at start when another program listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is already in use: choose another with --port")


class AppLoadError(HostError):
    """Raised at start when the app cannot be imported or indexed."""


class AppConfigError(HostError):
    """Raised at start when a binding names a setting, route or connection that does not resolve."""


class WorkerLostError(HostError):
    """Raised to the caller of an invocation that died with its worker."""


class WorkerGivenUpError(HostError):
    """Raised to every caller once the worker has died too often to be started again."""


class InvocationFailedError(HostError):
    """Raised when the function raised; says what and where."""

    def __init__(self, error_type: str, message: str, stack: str) -> None:
        super().__init__(f"{error_type}: {message}" if message else error_type)
        self.error_type = error_type
        self.message = message
        self.stack = stack

    @classmethod
    def from_worker(cls, text: str, stack: str) -> "InvocationFailedError":
        """Split the worker's ``Type: message`` into its two halves."""
        error_type, _, message = text.partition(": ")
        return cls(error_type, message, stack)
