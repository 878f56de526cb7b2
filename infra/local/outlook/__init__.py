"""A strict emulator of Microsoft Graph, Outlook and the managed-identity endpoint.

It implements the protocol (`docs/protocol.md`) and knows nothing of the product: it refuses what
the real service would refuse, records every request and byte for the tests to check, and injects
faults on demand (`faults`).
"""

from infra.local.outlook.emulator import OutlookEmulator
from infra.local.outlook.faults import alterations, catalogue, families
from infra.local.outlook.faults.schedule import (
    Arrival,
    Break,
    Fault,
    FaultSchedule,
    FaultSource,
    Misbehaviour,
    SeededFaults,
)
from infra.local.outlook.protocol.addresses import ItemKind, Kind
from infra.local.outlook.recorder import RecordedRequest
from infra.local.outlook.rules import Rules
from infra.local.outlook.state.folder import UnreadableFolder
from infra.local.outlook.state.mailboxes import Attachment
from infra.local.outlook.state.upload_session import UploadSession

__all__ = [
    "Arrival",
    "Attachment",
    "Break",
    "Fault",
    "FaultSchedule",
    "FaultSource",
    "ItemKind",
    "Kind",
    "Misbehaviour",
    "OutlookEmulator",
    "RecordedRequest",
    "Rules",
    "SeededFaults",
    "UnreadableFolder",
    "UploadSession",
    "alterations",
    "catalogue",
    "families",
]
