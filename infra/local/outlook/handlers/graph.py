"""Graph's side: items, attachments, and the creation of upload sessions (with a bearer token)."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from infra.local.outlook.handlers import odata, request_bodies
from infra.local.outlook.protocol import ids
from infra.local.outlook.protocol.addresses import GRAPH_VERSIONS, Address, ItemKind, Kind
from infra.local.outlook.protocol.errors import GraphError, unknown_segment
from infra.local.outlook.protocol.messages import Answer, Call, json_answer
from infra.local.outlook.state.mailboxes import Item, Mailbox
from infra.local.outlook.state.upload_session import UploadSession, check_declared_size
from infra.local.outlook.tenant import Tenant

_PERMISSIONS: dict[ItemKind, str] = {"message": "Mail.ReadWrite", "event": "Calendars.ReadWrite"}
_NOUNS: dict[ItemKind, str] = {"message": "messages", "event": "events"}
_PREFERS_IMMUTABLE = re.compile(r"IdType\s*=\s*\"?ImmutableId\"?", re.IGNORECASE)


@dataclass(frozen=True)
class GraphRequest:
    """A Graph call that passed the doors, with what its handler needs.

    `commit_delay` is in seconds, on top of the rules' own.
    """

    tenant: Tenant
    call: Call
    address: Address
    mailbox: Mailbox
    commit_delay: float

    @property
    def item(self) -> Item:
        """The item addressed. Raises 404 `ErrorItemNotFound`."""
        return self.mailbox.item(self.address.item_kind, self.address.item)

    @property
    def item_kind(self) -> ItemKind:
        """Whether the path says messages or events."""
        return self.address.item_kind or "message"

    @property
    def immutable(self) -> bool:
        """Whether the client prefers immutable ids in the answer."""
        return _PREFERS_IMMUTABLE.search(self.call.headers.get("Prefer", "")) is not None

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent."""
        return request_bodies.read_object(self.call, self.tenant.rules.maximum_post_bytes)

    def context(self, path: str) -> str:
        """An `@odata.context`."""
        return f"{self.tenant.url}/{self.address.version}/$metadata#{path}"

    def items_context(self) -> str:
        """The part of it that names the mailbox's messages or events."""
        owner = odata.key(self.mailbox.directory_name)
        return self.context(f"users('{owner}')/{_NOUNS[self.item_kind]}")

    def attachments_context(self) -> str:
        """The part of it that names the item's attachments."""
        item_id = ids.spell(self.item.id, immutable=self.immutable)
        return f"{self.items_context()}('{odata.key(item_id)}')/attachments"


def answer(tenant: Tenant, call: Call, address: Address, commit_delay: float = 0) -> Answer:
    """Do what a Graph request asks. Raises `GraphError`."""
    tenant.identity.check(call.headers.get("Authorization"))
    if address.shape == "unknown" or address.version not in GRAPH_VERSIONS:
        raise unknown_segment(call.target.partition("?")[0].rpartition("/")[2])
    handler = _HANDLERS.get(address.kind)
    if handler is None:
        message = f"{call.method} is not allowed here."
        raise GraphError(405, "ErrorMethodNotAllowed", message)
    request = GraphRequest(
        tenant, call, address, tenant.mailboxes.find(address.mailbox), commit_delay
    )
    if _PERMISSIONS[request.item_kind] not in tenant.rules.permissions:
        message = "Access is denied. Check credentials and try again."
        raise GraphError(403, "ErrorAccessDenied", message)
    return handler(request)


def _create_item(request: GraphRequest) -> Answer:
    subject = request.body().get("subject")
    item = request.mailbox.create(request.item_kind, str(subject or ""))
    return json_answer(201, _item_json(request, item))


def _get_item(request: GraphRequest) -> Answer:
    return json_answer(200, _item_json(request, request.item))


def _item_json(request: GraphRequest, item: Item) -> dict[str, Any]:
    return {
        "@odata.context": f"{request.items_context()}/$entity",
        "id": ids.spell(item.id, immutable=request.immutable),
        "subject": item.subject,
        "hasAttachments": bool(item.visible(request.tenant.clock())),
    }


def _create_session(request: GraphRequest) -> Answer:
    tenant, item = request.tenant, request.item
    if not tenant.rules.upload_sessions:
        raise unknown_segment("createUploadSession")
    description, size = request_bodies.read_attachment_item(request.body())
    check_declared_size(size, tenant.rules)
    session_id = ids.spell(ids.mint(), immutable=request.immutable)
    session = UploadSession(
        id=session_id,
        mailbox=request.mailbox.address,
        item=item.id,
        target=_upload_target(request, session_id),
        description=description,
        size=size,
        immutable_ids=request.immutable,
        expires_at=tenant.clock() + timedelta(minutes=tenant.rules.session_minutes),
    )
    item.sessions.append(session)
    body = {
        "@odata.context": request.context("microsoft.graph.uploadSession"),
        "uploadUrl": tenant.url + session.target,
        "expirationDateTime": odata.seven_digits(session.expires_at),
        "nextExpectedRanges": ["0-"],
    }
    return json_answer(201, body)


def _upload_target(request: GraphRequest, session_id: str) -> str:
    """The upload URL after its host, with an authtoken of its own (spelled as in S0 and S1)."""
    version = "beta" if request.address.version == "beta" else "v2.0"
    item_id = ids.spell(request.item.id, immutable=request.immutable)
    owner = request.mailbox.directory_name
    noun = _NOUNS[request.item_kind].capitalize()
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IktmYUNI" + secrets.token_urlsafe(48)
    return (
        f"/api/{version}/Users('{owner}')/{noun}('{quote(item_id, safe='=')}')"
        f"/AttachmentSessions('{session_id}')?authtoken={token}"
    )


def _small_post(request: GraphRequest) -> Answer:
    item = request.item
    description, content = request_bodies.read_file_attachment(request.body())
    item.check_size(len(content), request.tenant.rules.mailbox_limit_bytes)
    committer = request.tenant.committer(request.commit_delay)
    attachment = committer.commit_bytes(item, description, content)
    selected = odata.selection({})
    body = odata.attachment_json(attachment, selected, immutable=request.immutable)
    context = {"@odata.context": f"{request.attachments_context()}/$entity"}
    return json_answer(201, context | body)


def _list(request: GraphRequest) -> Answer:
    query = request.call.query
    selected = odata.selection(query)
    skip = odata.count_option(query, "$skip", 0)
    page = odata.count_option(query, "$top", request.tenant.rules.page_size)
    visible = request.item.visible(request.tenant.clock())
    body: dict[str, Any] = {
        "@odata.context": request.attachments_context(),
        "value": [
            odata.attachment_json(each, selected, immutable=request.immutable)
            for each in visible[skip : skip + page]
        ],
    }
    if page and skip + page < len(visible):
        path = request.call.target.partition("?")[0]
        following = urlencode(query | {"$skip": str(skip + page)}, safe="$,/")
        body["@odata.nextLink"] = f"{request.tenant.url}{path}?{following}"
    return json_answer(200, body)


def _get_attachment(request: GraphRequest) -> Answer:
    selected = odata.selection(request.call.query)
    found = request.item.attachment(request.address.attachment or "", request.tenant.clock())
    body = odata.attachment_json(found, selected, immutable=request.immutable)
    context = {"@odata.context": f"{request.attachments_context()}/$entity"}
    return json_answer(200, context | body)


def _raw_content(request: GraphRequest) -> Answer:
    found = request.item.attachment(request.address.attachment or "", request.tenant.clock())
    raw = Answer(200, body=found.content)
    raw.headers["Content-Type"] = found.content_type
    return raw


def _delete_attachment(request: GraphRequest) -> Answer:
    request.item.remove(request.address.attachment or "", request.tenant.clock())
    return Answer(204)


_HANDLERS: dict[Kind, Callable[[GraphRequest], Answer]] = {
    "create_item": _create_item,
    "get_item": _get_item,
    "create": _create_session,
    "small_post": _small_post,
    "list": _list,
    "get_attachment": _get_attachment,
    "raw_content": _raw_content,
    "delete_attachment": _delete_attachment,
}
