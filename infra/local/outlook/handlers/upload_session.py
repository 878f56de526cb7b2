"""Handles requests to an upload URL, which is its own credential.

See `docs/protocol.md`, "PUT the ranges".
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from infra.local.outlook.handlers import odata
from infra.local.outlook.protocol import ids
from infra.local.outlook.protocol.addresses import Address, Kind
from infra.local.outlook.protocol.errors import GraphError, invalid_content_range, item_not_found
from infra.local.outlook.protocol.messages import Request, Response, json_response
from infra.local.outlook.state.mailboxes import Item
from infra.local.outlook.state.upload_session import UploadSession, check_range, is_repeated
from infra.local.outlook.tenant import Tenant


@dataclass(frozen=True)
class UploadRequest:
    """A request to the upload URL of an open session.

    `kept_share`, from 0 to 1, is the share of a range that the service stores; `commit_delay` is in
    seconds, in addition to that of the rules.
    """

    tenant: Tenant
    http: Request
    item: Item
    session: UploadSession
    kept_share: float
    commit_delay: float

    @property
    def items_path(self) -> str:
        """`{url}/api/v2.0/Users('…')/Messages('…')`, from the upload URL itself."""
        return self.tenant.url + self.session.target.partition("/AttachmentSessions")[0]


def handle(
    tenant: Tenant,
    http: Request,
    address: Address,
    *,
    kept_share: float = 1,
    commit_delay: float = 0,
) -> Response:
    """Process a request to an upload URL. Raises `GraphError`."""
    if "Authorization" in http.headers:
        message = "The audience claim value is invalid for current resource."
        raise GraphError(401, "InvalidAudienceForResource", message)
    mailbox = tenant.mailboxes.find(address.mailbox)
    item = mailbox.item(address.item_kind, address.item)
    handler = _HANDLERS.get(address.kind)
    if handler is None:
        raise _not_allowed(http.method)
    session = _find(item, http.target)
    if not session.is_open(tenant.clock()):
        raise item_not_found()
    return handler(UploadRequest(tenant, http, item, session, kept_share, commit_delay))


def _find(item: Item, target: str) -> UploadSession:
    """The session with exactly this upload URL. Raises 404 `ErrorItemNotFound`."""
    for session in item.sessions:
        if session.target == target:
            return session
    raise item_not_found()


def _put(request: UploadRequest) -> Response:
    tenant, session, body = request.tenant, request.session, request.http.body
    _check_headers(request.http)
    if len(body) > tenant.rules.maximum_put_bytes:
        message = f"A range can have at most {tenant.rules.maximum_put_bytes} bytes."
        raise GraphError(413, "RequestEntityTooLarge", message)
    sent = check_range(session, request.http.headers.get("Content-Range"), len(body))
    if is_repeated(session, sent, tenant.rules):
        return _progress(request)
    request.item.check_single_writer(session, tenant.clock())
    limit = tenant.rules.mailbox_limit_bytes
    request.item.check_size(session.received + len(body), limit)
    if not session.append(body[: int(len(body) * request.kept_share)]):
        return _progress(request)
    return _finished(request)


def _check_headers(http: Request) -> None:
    if "Content-Length" not in http.headers:
        raise invalid_content_range(400, "Content-Length is missing.")
    if http.media_type != "application/octet-stream":
        raise invalid_content_range(400, "The Content-Type must be application/octet-stream.")


def _progress(request: UploadRequest) -> Response:
    session, rules = request.session, request.tenant.rules
    service, _, path = urlsplit(request.items_path).path.partition("/Users(")
    owner_and_items = quote(f"Users({path}", safe="()'/%")
    body = {
        "@odata.context": (
            f"{request.tenant.url}{service}/$metadata#{owner_and_items}/AttachmentSessions/$entity"
        ),
        "ExpirationDateTime": odata.exchange_time(session.expires_at),
        rules.next_ranges_key: session.next_ranges(rules.next_range_form),
    }
    return json_response(200, body)


def _finished(request: UploadRequest) -> Response:
    session = request.session
    attachment = request.tenant.committer(request.commit_delay).commit_session(
        request.item, session
    )
    immutable = session.immutable_ids and request.tenant.rules.location_ids == "as requested"
    attachment_id = ids.format_id(attachment.id, immutable=immutable)
    created = Response(201)
    created.headers["Location"] = f"{request.items_path}/Attachments('{attachment_id}')"
    return created


def _state(request: UploadRequest) -> Response:
    if request.tenant.rules.session_state == "405":
        raise _not_allowed(request.http.method)
    return _progress(request)


def _cancel(request: UploadRequest) -> Response:
    request.session.end = "cancelled"
    return Response(204)


def _not_allowed(method: str) -> GraphError:
    message = f"The OData request is not supported: {method}."
    return GraphError(405, "ErrorInvalidRequest", message)


_HANDLERS: dict[Kind, Callable[[UploadRequest], Response]] = {
    "range": _put,
    "last_range": _put,
    "session_state": _state,
    "cancel": _cancel,
}
