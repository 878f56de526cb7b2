"""The app's parts on the virtual engine, over any storage and Graph client."""

from dataclasses import replace
from typing import Any

import azure.durable_functions as df

from shared.app import Clients, activities
from shared.settings import Settings
from shared.storage.listing import Listing
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.functions import Activities, transfer_functions
from shared.transfer.service.start import Starter
from shared.transfer.workflow.mailbox_budget import lock_entities
from shared.transfer.workflow.orchestrator import attach_blob
from tests.support.engine.clock import VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.virtual_engine import Activity, VirtualEngine

MAILBOX = "reports@contoso.com"


class LateStarter(Starter):
    """Starts what an event starts whose blob was read before the record of its transfer."""

    def _is_recorded(self, *_: object) -> bool:
        return False


class VirtualApp:
    """Starter, orchestrator, activities and entities of one app.

    A test may replace entries of ``activities``. ``engines`` has the latest instance of each id,
    ``started`` every instance so far.
    """

    def __init__(
        self,
        settings: Settings,
        clock: VirtualClock,
        clients: Clients,
        *,
        inspector: type[Inspector] = Inspector,
        attacher: type[Attacher] = Attacher,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.source = clients.source
        self.graph = clients.graph
        self.listing = Listing(clients.tables, clock)
        self.starter = Starter(settings, clients.source, self.listing)
        self.late_starter = LateStarter(settings, clients.source, self.listing)
        self.entities = VirtualEntities(lock_entities(settings, clock))
        self.engines: dict[str, VirtualEngine] = {}
        self.started: list[VirtualEngine] = []
        self._clients = clients
        self._inspector, self._attacher = inspector, attacher
        self.tables = clients.tables
        self.activities: dict[str, Activity] = {}
        self.restart(settings)

    def restart(self, settings: Settings) -> None:
        """Run the activities with these settings from now on; orchestrations go on."""
        parts = self.parts(settings)
        self.locks = parts.attacher.locks
        blueprint = transfer_functions(parts, settings, self.clock)
        self.activities.update(_by_name(blueprint))

    def parts(self, settings: Settings) -> Activities:
        """The objects that run activities with these settings."""
        clients = self._clients
        parts = activities(settings, clients, self.clock)
        # A delivery stalls in virtual time.
        claims = replace(parts.attacher.claims, stopwatch=lambda: self.clock().timestamp())
        locks = parts.attacher.locks
        return replace(
            parts,
            inspector=self._inspector(
                settings, clients.source, parts.inspector.ledger, self.listing
            ),
            attacher=self._attacher(settings, clients.source, claims, locks, clients.graph),
        )

    def start_engine(self, instance_id: str, payload: dict[str, Any]) -> VirtualEngine:
        """An orchestration with this id and input, about to run its first activity."""
        # No two orchestrations begin at the same time.
        self.clock.advance(0.000_001)
        engine = self.new_engine(instance_id, payload)
        self.engines[instance_id] = engine
        self.started.append(engine)
        return engine

    def new_engine(self, instance_id: str, payload: dict[str, Any]) -> VirtualEngine:
        """An orchestration that nobody knows of yet."""
        parts = (self.activities, self.entities, self.engines)
        return VirtualEngine(self.clock, attach_blob, instance_id, payload, *parts)

    def close(self) -> None:
        """Close the connections."""
        self.graph.close()


def settings_for(graph_url: str, **values: object) -> Settings:
    """Settings for this Graph: every mailbox is allowed, and no empty blob is waited on.

    Unless ``values`` say otherwise.
    """
    return Settings.model_validate(
        {"graph_base_url": graph_url, "allowed_mailboxes": "*", "empty_blob_seconds": 0, **values}
    )


def _by_name(blueprint: df.Blueprint) -> dict[str, Activity]:
    app = df.DFApp()
    app.register_functions(blueprint)
    return {str(f.get_function_name()): f.get_user_function() for f in app.get_functions()}


def no_credential() -> Any:
    """The credential of an app that needs none."""
    raise AssertionError("no topic is set")
