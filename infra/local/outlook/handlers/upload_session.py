"""Outlook's side: the upload URL, which is its own credential (`protocol.md` §3)."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from infra.local.outlook.handlers import odata
from infra.local.outlook.protocol import ids
from infra.local.outlook.protocol.addresses import Address, Kind
from infra.local.outlook.protocol.errors import GraphError, invalid_content_range, item_not_found
from infra.local.outlook.protocol.messages import Answer, Call, json_answer
from infra.local.outlook.state.mailboxes import Item
from infra.local.outlook.state.upload_session import UploadSession, check_range, is_repeated
from infra.local.outlook.tenant import Tenant


@dataclass(frozen=True)
class UploadRequest:
    """A request to the URL of an open session.

    `kept_share`, from 0 to 1, is how much of a range the service keeps; `commit_delay` is in
    seconds, on top of the rules' own.
    """

    tenant: Tenant
    call: Call
    item: Item
    session: UploadSession
    kept_share: float
    commit_delay: float

    @property
    def items_path(self) -> str:
        """`{url}/api/v2.0/Users('…')/Messages('…')`, from the upload URL itself."""
        return self.tenant.url + self.session.target.partition("/AttachmentSessions")[0]


def answer(
    tenant: Tenant, call: Call, address: Address, *, kept_share: float = 1, commit_delay: float = 0
) -> Answer:
    """Do what a request to an upload URL asks. Raises `GraphError`."""
    if "Authorization" in call.headers:
        message = "The audience claim value is invalid for current resource."
        raise GraphError(401, "InvalidAudienceForResource", message)
    mailbox = tenant.mailboxes.find(address.mailbox)
    item = mailbox.item(address.item_kind, address.item)
    handler = _HANDLERS.get(address.kind)
    if handler is None:
        raise _not_allowed(call.method)
    session = _find(item, call.target)
    if not session.is_open(tenant.clock()):
        raise item_not_found()
    return handler(UploadRequest(tenant, call, item, session, kept_share, commit_delay))


def _find(item: Item, target: str) -> UploadSession:
    """The session that this very URL was minted for; changed in any way, it leads nowhere."""
    for session in item.sessions:
        if session.target == target:
            return session
    raise item_not_found()


def _put(request: UploadRequest) -> Answer:
    tenant, session, body = request.tenant, request.session, request.call.body
    _check_headers(request.call)
    if len(body) > tenant.rules.maximum_put_bytes:
        message = f"A range has at most {tenant.rules.maximum_put_bytes} bytes."
        raise GraphError(413, "RequestEntityTooLarge", message)
    sent = check_range(session, request.call.headers.get("Content-Range"), len(body))
    if is_repeated(session, sent, tenant.rules):
        return _progress(request)
    request.item.check_single_writer(session, tenant.clock())
    limit = tenant.rules.mailbox_limit_bytes
    request.item.check_size(session.received + len(body), limit)
    if not session.take(body[: int(len(body) * request.kept_share)]):
        return _progress(request)
    return _finished(request)


def _check_headers(call: Call) -> None:
    if "Content-Length" not in call.headers:
        raise invalid_content_range(400, "Content-Length is missing.")
    if call.media_type != "application/octet-stream":
        raise invalid_content_range(400, "The Content-Type must be application/octet-stream.")


def _progress(request: UploadRequest) -> Answer:
    session, rules = request.session, request.tenant.rules
    service, _, path = urlsplit(request.items_path).path.partition("/Users(")
    owner_and_items = quote(f"Users({path}", safe="()'/%")
    body = {
        "@odata.context": (
            f"{request.tenant.url}{service}/$metadata#{owner_and_items}/AttachmentSessions/$entity"
        ),
        "ExpirationDateTime": odata.seven_digits(session.expires_at),
        rules.next_ranges_key: session.next_ranges(rules.next_range_form),
    }
    return json_answer(200, body)


def _finished(request: UploadRequest) -> Answer:
    session = request.session
    attachment = request.tenant.committer(request.commit_delay).commit_session(
        request.item, session
    )
    immutable = session.immutable_ids and request.tenant.rules.location_ids == "as asked"
    attachment_id = ids.spell(attachment.id, immutable=immutable)
    created = Answer(201)
    created.headers["Location"] = f"{request.items_path}/Attachments('{attachment_id}')"
    return created


def _state(request: UploadRequest) -> Answer:
    if request.tenant.rules.session_state == "405":
        raise _not_allowed(request.call.method)
    return _progress(request)


def _cancel(request: UploadRequest) -> Answer:
    request.session.end = "cancelled"
    return Answer(204)


def _not_allowed(method: str) -> GraphError:
    message = f"The OData request is not supported: {method}."
    return GraphError(405, "ErrorInvalidRequest", message)


_HANDLERS: dict[Kind, Callable[[UploadRequest], Answer]] = {
    "range": _put,
    "last_range": _put,
    "session_state": _state,
    "cancel": _cancel,
}
