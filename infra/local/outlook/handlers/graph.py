"""Handles requests to Graph, which carry a bearer token: items, attachments, new sessions."""

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
from infra.local.outlook.protocol.messages import Request, Response, json_response
from infra.local.outlook.state.mailboxes import Item, Mailbox
from infra.local.outlook.state.upload_session import UploadSession, check_declared_size
from infra.local.outlook.tenant import Tenant

_PERMISSIONS: dict[ItemKind, str] = {"message": "Mail.ReadWrite", "event": "Calendars.ReadWrite"}
_COLLECTIONS: dict[ItemKind, str] = {"message": "messages", "event": "events"}
_PREFERS_IMMUTABLE = re.compile(r"IdType\s*=\s*\"?ImmutableId\"?", re.IGNORECASE)


@dataclass(frozen=True)
class GraphRequest:
    """An authorized request to Graph, with everything that its handler needs.

    `commit_delay` is in seconds, in addition to that of the rules.
    """

    tenant: Tenant
    http: Request
    address: Address
    mailbox: Mailbox
    commit_delay: float

    @property
    def item(self) -> Item:
        """The addressed item. Raises 404 `ErrorItemNotFound`."""
        return self.mailbox.item(self.address.item_kind, self.address.item)

    @property
    def item_kind(self) -> ItemKind:
        """Whether the path has messages or events."""
        return self.address.item_kind or "message"

    @property
    def immutable(self) -> bool:
        """Whether the client prefers immutable ids in the response."""
        return _PREFERS_IMMUTABLE.search(self.http.headers.get("Prefer", "")) is not None

    def body(self) -> dict[str, Any]:
        """The JSON object in the body."""
        return request_bodies.read_object(self.http, self.tenant.rules.maximum_post_bytes)

    def context(self, path: str) -> str:
        """An `@odata.context`."""
        return f"{self.tenant.url}/{self.address.version}/$metadata#{path}"

    def items_context(self) -> str:
        """The context of the mailbox's messages or events."""
        owner = odata.quoted_key(self.mailbox.directory_name)
        return self.context(f"users('{owner}')/{_COLLECTIONS[self.item_kind]}")

    def attachments_context(self) -> str:
        """The context of the item's attachments."""
        item_id = ids.format_id(self.item.id, immutable=self.immutable)
        return f"{self.items_context()}('{odata.quoted_key(item_id)}')/attachments"


def handle(tenant: Tenant, http: Request, address: Address, commit_delay: float = 0) -> Response:
    """Process a request to Graph. Raises `GraphError`."""
    tenant.identity.check(http.headers.get("Authorization"))
    if address.resource == "unknown" or address.version not in GRAPH_VERSIONS:
        raise unknown_segment(http.target.partition("?")[0].rpartition("/")[2])
    handler = _HANDLERS.get(address.kind)
    if handler is None:
        message = f"The method {http.method} is not allowed for this resource."
        raise GraphError(405, "ErrorMethodNotAllowed", message)
    request = GraphRequest(
        tenant, http, address, tenant.mailboxes.find(address.mailbox), commit_delay
    )
    if _PERMISSIONS[request.item_kind] not in tenant.rules.permissions:
        message = "Access is denied. Check credentials and try again."
        raise GraphError(403, "ErrorAccessDenied", message)
    return handler(request)


def _create_item(request: GraphRequest) -> Response:
    subject = request.body().get("subject")
    item = request.mailbox.create(request.item_kind, str(subject or ""))
    return json_response(201, _item_json(request, item))


def _get_item(request: GraphRequest) -> Response:
    return json_response(200, _item_json(request, request.item))


def _item_json(request: GraphRequest, item: Item) -> dict[str, Any]:
    draft = {"isDraft": item.is_draft} if item.kind == "message" else {}
    return draft | {
        "@odata.context": f"{request.items_context()}/$entity",
        "id": ids.format_id(item.id, immutable=request.immutable),
        "subject": item.subject,
        "hasAttachments": bool(item.visible(request.tenant.clock())),
    }


def _create_session(request: GraphRequest) -> Response:
    tenant, item = request.tenant, request.item
    if not tenant.rules.upload_sessions:
        raise unknown_segment("createUploadSession")
    description, size = request_bodies.read_attachment_item(request.body())
    check_declared_size(size, tenant.rules)
    session_id = ids.format_id(ids.new_id(), immutable=request.immutable)
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
        "expirationDateTime": odata.exchange_time(session.expires_at),
        "nextExpectedRanges": ["0-"],
    }
    return json_response(201, body)


def _upload_target(request: GraphRequest, session_id: str) -> str:
    """Path and query of a new upload URL with an authtoken, as in Microsoft's examples."""
    version = "beta" if request.address.version == "beta" else "v2.0"
    item_id = ids.format_id(request.item.id, immutable=request.immutable)
    owner = request.mailbox.directory_name
    collection = _COLLECTIONS[request.item_kind].capitalize()
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IktmYUNI" + secrets.token_urlsafe(48)
    return (
        f"/api/{version}/Users('{owner}')/{collection}('{quote(item_id, safe='=')}')"
        f"/AttachmentSessions('{session_id}')?authtoken={token}"
    )


def _small_post(request: GraphRequest) -> Response:
    item = request.item
    description, content = request_bodies.read_file_attachment(request.body())
    item.check_size(len(content), request.tenant.rules.mailbox_limit_bytes)
    committer = request.tenant.committer(request.commit_delay)
    attachment = committer.commit_bytes(item, description, content)
    selected = odata.selected_properties({})
    body = odata.attachment_json(attachment, selected, immutable=request.immutable)
    context = {"@odata.context": f"{request.attachments_context()}/$entity"}
    return json_response(201, context | body)


def _list(request: GraphRequest) -> Response:
    query = request.http.query
    selected = odata.selected_properties(query)
    skip = odata.integer_option(query, "$skip", 0)
    page = odata.integer_option(query, "$top", request.tenant.rules.page_size)
    visible = request.item.visible(request.tenant.clock())
    body: dict[str, Any] = {
        "@odata.context": request.attachments_context(),
        "value": [
            odata.attachment_json(each, selected, immutable=request.immutable)
            for each in visible[skip : skip + page]
        ],
    }
    if page and skip + page < len(visible):
        path = request.http.target.partition("?")[0]
        following = urlencode(query | {"$skip": str(skip + page)}, safe="$,/")
        body["@odata.nextLink"] = f"{request.tenant.url}{path}?{following}"
    return json_response(200, body)


def _get_attachment(request: GraphRequest) -> Response:
    selected = odata.selected_properties(request.http.query)
    found = request.item.attachment(request.address.attachment or "", request.tenant.clock())
    body = odata.attachment_json(found, selected, immutable=request.immutable)
    context = {"@odata.context": f"{request.attachments_context()}/$entity"}
    return json_response(200, context | body)


def _raw_content(request: GraphRequest) -> Response:
    found = request.item.attachment(request.address.attachment or "", request.tenant.clock())
    response = Response(200, body=found.content)
    response.headers["Content-Type"] = found.content_type
    return response


def _delete_attachment(request: GraphRequest) -> Response:
    request.item.remove(request.address.attachment or "", request.tenant.clock())
    return Response(204)


_HANDLERS: dict[Kind, Callable[[GraphRequest], Response]] = {
    "create_item": _create_item,
    "get_item": _get_item,
    "create": _create_session,
    "small_post": _small_post,
    "list": _list,
    "get_attachment": _get_attachment,
    "raw_content": _raw_content,
    "delete_attachment": _delete_attachment,
}
