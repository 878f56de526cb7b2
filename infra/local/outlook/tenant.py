"""Everything the emulated service knows: its mailboxes, its tokens, its rules and the time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from infra.local.outlook.identity import IdentityEndpoint
from infra.local.outlook.rules import Rules
from infra.local.outlook.state.mailboxes import Committer, Mailboxes
from infra.local.outlook.state.throttle import Figures, Throttle


def _figures(rules: Rules) -> Figures:
    return Figures(rules.requests_at_once, rules.window_bytes, rules.window_seconds)


@dataclass
class Tenant:
    """The state behind every route; `url` is where it is served, without a final slash."""

    clock: Callable[[], datetime]
    current_rules: Rules
    url: str = ""
    mailboxes: Mailboxes = field(default_factory=Mailboxes)

    def __post_init__(self) -> None:
        self.identity = IdentityEndpoint(self.clock)
        self.throttle = Throttle(_figures(self.current_rules), self.clock)

    def renew(self, rules: Rules) -> None:
        """Begin anew: no mailbox and no token, nothing counted."""
        self.current_rules = rules
        self.mailboxes = Mailboxes()
        self.identity = IdentityEndpoint(self.clock)
        self.throttle = Throttle(_figures(rules), self.clock)

    @property
    def rules(self) -> Rules:
        """How the service behaves now."""
        return self.current_rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self.current_rules = rules
        self.throttle.figures = _figures(rules)

    def committer(self, delay: float) -> Committer:
        """Commits that are visible `delay` seconds later than the rules say."""
        return Committer(self.clock, self.rules.commit_visible_after + delay)
