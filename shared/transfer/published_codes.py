"""Error codes that Microsoft publishes, in lower case, by what they say about a request.

From the lists of Graph's errors and of Exchange's response codes. A code that is in none of these
sets says nothing: what follows is decided by the status, and never as if the request was refused.
"""

_BY_LIMIT = "errormessagesizeexceeded errorattachmentsizelimitexceeded errorquotaexceeded"
_BY_IDENTITY = "invalidauthenticationtoken unauthenticated authenticationerror"
_BY_ACCESS = (
    "erroraccessdenied accessdenied authorization_requestdenied errorimpersonateuserdenied "
    "erroraccountdisabled errorinvalidlicense"
)
_BY_MAILBOX = (
    "errorinvaliduser errornonexistentmailbox mailboxnotenabledforrestapi mailboxnothosted "
    "errormailboxnotenabledforrestapi"
)
_BY_REQUEST = (
    "badrequest request_badrequest invalidrequest errorinvalidrequest requestbodyread "
    "errorinvalidid errorinvalididempty errorinvalididmalformed errorinvalidproperty "
    "errorinvalidargument errorinvalidparameter errorpropertyvalidationfailure "
    "errorschemavalidation errorrequiredpropertymissing errormethodnotallowed notallowed "
    "notsupported errornotsupported errorunsupportedmimeconversion malwaredetected "
    "errorinvalidattachmentid errorattachmentnestlevellimitexceeded errorattachmentcorrupted"
)

# --- the request was refused before any work ---

LIMITS = frozenset(_BY_LIMIT.split())
TOO_SMALL = frozenset({"errorattachmentsizeshouldnotbelessthanminimumsize"})
FILES_ONLY = frozenset({"errorattachmentsessionissupportedonlyforfileattachments"})
NO_MAILBOX = frozenset(_BY_MAILBOX.split())
ACCESS_DENIED = frozenset(_BY_ACCESS.split())
# The same request would be refused again.
MALFORMED = frozenset(_BY_REQUEST.split())
# The same request may be accepted later.
TOKEN_REFUSED = frozenset(_BY_IDENTITY.split())
THROTTLED = frozenset({"applicationthrottled", "toomanyrequests", "activitylimitreached"})
CONFLICT = frozenset({"errorirresolvableconflict"})
NOT_FOUND = frozenset({"erroritemnotfound", "itemnotfound", "resourcenotfound"})

# --- it passes; whether the request was carried out is not known ---

_PASSING = frozenset(
    {
        *("errormailboxmoveinprogress", "errormailboxstoreunavailable", "errortimeoutexpired"),
        *("errorserverbusy", "errorexceededconnectioncount", "errorinsufficientresources"),
        *("errorconnectionfailed", "erroradunavailable", "erroradoperation"),
        *("errorinternalservererror", "servicenotavailable", "generalexception"),
    }
)


def passes(code: str) -> bool:
    """Whether a code, in any case, says that the same request may succeed later."""
    return code.lower() in _PASSING or code.lower().endswith("transienterror")
