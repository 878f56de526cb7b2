"""The whole state of the emulated service: mailboxes, tokens, rules and clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from infra.local.outlook.identity import IdentityEndpoint
from infra.local.outlook.rules import Rules
from infra.local.outlook.state.mailboxes import Committer, Mailboxes
from infra.local.outlook.state.throttle import Limits, Throttle


def _limits(rules: Rules) -> Limits:
    return Limits(rules.requests_at_once, rules.window_bytes, rules.window_seconds)


@dataclass
class Tenant:
    """The state that every handler works on; `url` is the service's own, without a final slash."""

    clock: Callable[[], datetime]
    current_rules: Rules
    url: str = ""
    mailboxes: Mailboxes = field(default_factory=Mailboxes)

    def __post_init__(self) -> None:
        self.identity = IdentityEndpoint(self.clock)
        self.throttle = Throttle(_limits(self.current_rules), self.clock)

    def reset(self, rules: Rules) -> None:
        """Discard the whole state: mailboxes, tokens and counts."""
        self.current_rules = rules
        self.mailboxes = Mailboxes()
        self.identity = IdentityEndpoint(self.clock)
        self.throttle = Throttle(_limits(rules), self.clock)

    @property
    def rules(self) -> Rules:
        """The current behaviour of the service."""
        return self.current_rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self.current_rules = rules
        self.throttle.limits = _limits(rules)

    def committer(self, delay: float) -> Committer:
        """Makes attachments visible `delay` seconds later than the rules say."""
        return Committer(self.clock, self.rules.commit_visible_after + delay)
