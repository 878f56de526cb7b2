"""Products that are broken on purpose: the fault tests must detect each of them."""

import logging
from dataclasses import replace
from typing import Any

from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.outlook.item import OutlookFile, OutlookItem
from shared.outlook.upload_url import UploadUrl
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activity_payloads import ActivityResult, FindAttachment, Job, UploadRanges


class BlindPost(GraphClient):
    """Sends a small POST again when the response was lost."""

    def attach_small_file(
        self, item: OutlookItem, file: OutlookFile, content: bytes
    ) -> GraphResponse:
        response = super().attach_small_file(item, file, content)
        if response.no_response is NoResponse.UNKNOWN or response.status in {500, 502, 504}:
            response = super().attach_small_file(item, file, content)
        return response


class BlindPut(Attacher):
    """Sends every range again, in a new session, when the response to the last one was lost."""

    def upload_ranges(self, work: UploadRanges) -> ActivityResult:
        result = super().upload_ranges(work)
        if result.outcome == "reconcile":
            return result.model_copy(update={"outcome": "new_session"})
        return result


class WithoutReconciling(Attacher):
    """Takes an unknown outcome for a failure."""

    def find_attachment(self, _: FindAttachment) -> ActivityResult:
        return ActivityResult(outcome="not_attached")

    def attach_small_file(self, job: Job) -> ActivityResult:
        return super().attach_small_file(job.model_copy(update={"unsure": False}))

    def create_upload_session(self, job: Job) -> ActivityResult:
        return super().create_upload_session(job.model_copy(update={"unsure": False}))


class EarlyRetry(GraphClient):
    """Ignores ``Retry-After``."""

    def _send(self, *args: Any, **kwargs: Any) -> GraphResponse:
        response = super()._send(*args, **kwargs)
        return replace(response, retry_after=None if response.retry_after is None else 0.0)


class LoggedUrl(GraphClient):
    """Logs the upload URL."""

    def upload_url(self, text: object) -> UploadUrl:
        logging.getLogger(__name__).info("the session is at %s", text)
        return super().upload_url(text)
