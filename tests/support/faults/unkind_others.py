"""What other clients do to files and items while a schedule runs."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import azure.durable_functions as df

from shared.outlook.item import OutlookItem
from shared.transfer.service.requests import AttachRequest
from shared.transfer.transfer_id import instance_id
from shared.transfer.workflow.orchestrator import CANCEL
from tests.support.faults.unkind_judge import Known
from tests.support.faults.unkind_schedule import File, Happening, UnkindSchedule
from tests.support.in_memory.unkind_app import UnkindApp
from tests.support.in_memory.unkind_client import Answered
from tests.support.virtual_app import MAILBOX


@dataclass
class Others:
    """The other clients. ``known`` are the contents that files had so far, by transfer."""

    schedule: UnkindSchedule
    app: UnkindApp
    items: list[str] = field(default_factory=list)
    versions: Counter[int] = field(default_factory=Counter)
    known: dict[str, Known] = field(default_factory=dict)

    def is_late(self, item: int) -> bool:
        """Whether an item is created after the first transfers to it have failed."""
        return any(each.late and each.item == item for each in self.schedule.files)

    def create_item(self, number: int) -> None:
        """Create an item, if it is not there."""
        mailbox = self.app.service.tenant.mailboxes.find(MAILBOX)
        if self.items[number] not in mailbox.items:
            mailbox.create("message", "", item_id=self.items[number])

    def happen(self, what: Happening, number: int) -> None:
        """Let something happen to a file."""
        match what:
            case "event":
                self.deliver(number)
            case "two events":
                self.deliver(number)
                self.deliver(number)
            case "two orders":
                self._order([number], times=2)
            case "order of all":
                item = self.schedule.files[number].item
                same = [n for n, each in enumerate(self.schedule.files) if each.item == item]
                self._order(same, times=1)
            case "metadata replaced":
                self._replace_metadata(number)
            case "metadata written":
                self.app.blobs.annotate(self._name(number), seen="yes")
            case "overwritten":
                self.versions[number] += 1
                self.app.clock.advance(1)
                self.put(number)
                self.deliver(number)
            case "cancelled":
                self._cancel(number)

    def _file(self, number: int) -> File:
        return self.schedule.files[number]

    def _name(self, number: int) -> str:
        return self._file(number).name

    def _address(self, number: int) -> dict[str, str]:
        return {"mailbox": MAILBOX, "messageid": self.items[self.schedule.files[number].item]}

    def put(self, number: int) -> None:
        """Upload a file in its present version."""
        content = self.schedule.content(number, self.versions[number])
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        self.app.blobs.put(self._name(number), content, md5, self._address(number))

    def deliver(self, number: int) -> str:
        """Deliver the event of a file; the transfer's id."""
        id_ = self._know(number)
        assert self.app.deliver(self._name(number)) == id_
        return id_

    def _know(self, number: int) -> str:
        """The id of the transfer of the file's content."""
        item = OutlookItem(MAILBOX, "message", self.items[self._file(number).item])
        id_ = instance_id(self.app.source.look(self._name(number)), str(item))
        if id_ in self.known:
            self.app.adversary.confirm("event repeated")
        else:
            self.known[id_] = Known(number, self.versions[number], item.id)
        return id_

    def _order(self, numbers: Sequence[int], times: int) -> None:
        address = self._address(numbers[0])
        attach = AttachRequest.model_validate(
            {
                "mailbox": MAILBOX,
                "messageId": address["messageid"],
                "blobs": [self._name(number) for number in numbers],
            }
        )
        client = cast("df.DurableFunctionsClient", self.app.client)

        async def order() -> None:
            orders = [self.app.starter.from_request(client, attach) for _ in range(times)]
            await asyncio.gather(*orders)

        for number in numbers:
            self._know(number)
        self.app.loop.run(order())
        if times > 1:
            self.app.adversary.confirm("two orders at once")

    def _replace_metadata(self, number: int) -> None:
        name = self._name(number)
        blob = self.app.blobs.blob(name)
        self.app.blobs.set_metadata(name, self._address(number), blob.etag)
        self.app.adversary.confirm("metadata replaced")
        self.deliver(number)

    def _cancel(self, number: int) -> None:
        client = self.app.client
        id_ = next(reversed([k for k, each in self.known.items() if each.file == number]))
        with suppress(Answered):
            self.app.loop.run(client.raise_orchestration_event(id_, CANCEL))
