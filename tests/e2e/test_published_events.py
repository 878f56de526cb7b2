"""The events that the local stack publishes to a topic."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.drop import drop, source_container
from infra.local.stack import MAILBOXES, Stack
from tests.support.e2e.checks import assert_no_orchestration_failed, record_of
from tests.support.event_grid_topic import Topic, running_topic
from tests.support.waiting import until

MAILBOX = MAILBOXES[0]


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topic]:
    """A topic that gets the events of the stack."""
    with running_topic(tmp_path_factory.mktemp("topic")) as topic:
        yield topic


@pytest.fixture(scope="module")
def publishing_stack(topic: Topic) -> Iterator[Stack]:
    """A stack with the topic set."""
    settings = {"EVENT_GRID_TOPIC_ENDPOINT": topic.url, "ALLOWED_MAILBOXES": MAILBOX}
    with pytest.MonkeyPatch.context() as environment:
        # The environment has priority over the settings of a stack.
        environment.setenv("REQUESTS_CA_BUNDLE", str(topic.authority))
        with Stack(settings=settings) as running:
            yield running


def event_of(topic: Topic, transfer_id: str) -> dict[str, Any]:
    """The one event of a transfer."""

    def events() -> list[dict[str, Any]] | None:
        sent = [event for _, _, batch in topic.requests for event in batch]
        return [event for event in sent if event["data"]["id"] == transfer_id] or None

    (event,) = until(events)
    return event


def test_the_topic_gets_an_event_of_an_attachment(publishing_stack: Stack, topic: Topic) -> None:
    """With its id."""
    item = publishing_stack.outlook.add_item(MAILBOX, "message")
    to = f"{MAILBOX}/messages/{item}"
    dropped = drop(publishing_stack.info, b"%PDF", "a.pdf", to, "application/pdf")
    event = event_of(topic, dropped.transfer_id)
    (attachment,) = publishing_stack.outlook.attachments(MAILBOX, item)
    assert event["type"] == "BlobToOutlook.Attached"
    assert event["subject"] == event["data"]["blob"] == dropped.blob
    assert event["data"]["attachmentId"] == attachment.id


def test_the_topic_gets_an_event_of_a_failure(publishing_stack: Stack, topic: Topic) -> None:
    """With the reason."""
    to = f"{MAILBOXES[1]}/messages/M="
    dropped = drop(publishing_stack.info, b"%PDF", "a.pdf", to, "application/pdf")
    event = event_of(topic, dropped.transfer_id)
    assert event["type"] == "BlobToOutlook.Failed"
    assert event["data"]["error"]["code"] == "MailboxNotAllowed"


def test_a_failing_topic_fails_no_transfer(publishing_stack: Stack, topic: Topic) -> None:
    """The file is attached and recorded as if there were no topic."""
    topic.answers = [(403, {})]
    item = publishing_stack.outlook.add_item(MAILBOX, "message")
    to = f"{MAILBOX}/messages/{item}"
    dropped = drop(publishing_stack.info, b"%PDF", "a.pdf", to, "application/pdf")
    event_of(topic, dropped.transfer_id)
    record = record_of(source_container(publishing_stack.info), dropped.blob)
    assert record["attachmentstatus"] == "attached"
    assert_no_orchestration_failed(publishing_stack)
