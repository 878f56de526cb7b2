"""Blobs that stand for folders are skipped at every trigger."""

import logging
from typing import Any

import pytest
from azure.core.pipeline.transport import HttpRequest

from tests.conftest import MakeHarness
from tests.support.deliveries import call_status, deliver_created, deliver_request, run_blob_trigger
from tests.support.faults.faulty_storage import FaultyTransport, storage_over
from tests.support.harness import Harness, Product
from tests.support.virtual_app import MAILBOX


class DirectoryTransport(FaultyTransport):
    """Describes every blob of the source as a directory of a hierarchical account."""

    def send(self, request: HttpRequest, **kwargs: Any) -> Any:
        response = super().send(request, **kwargs)
        if request.method == "HEAD":
            response.headers["x-ms-resource-type"] = "directory"
        return response


def assert_skipped(harness: Harness, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """No transfer, no record and no warning; whoever asks for it gets a sentence."""
    before = harness.metadata(name)
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "shared"):
        # Without a client of Durable: a start would fail.
        run_blob_trigger(harness, name)
        deliver_created(harness, name)
    entries = [each for each in caplog.records if each.name.startswith("shared.")]
    assert [each.levelno for each in entries] == [logging.DEBUG, logging.DEBUG]
    assert all("folder" in each.getMessage() for each in entries)
    assert harness.metadata(name) == before
    assert call_status(harness, name) == 400
    deliver_request(harness, name)
    assert "stands for a folder" in caplog.text


def test_markers_of_hadoops_drivers_are_skipped(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """In either case of key and value, with an address or without one."""
    harness = make_harness()
    address = {"mailbox": MAILBOX, "messageid": "M="}
    for number, (key, value) in enumerate(
        [("hdi_isfolder", "true"), ("Hdi_isfolder", "True"), ("HDI_ISFOLDER", "TRUE")]
    ):
        name = f"{MAILBOX}/messages/M/{number}"
        harness.put(name, b"", **{key: value}, **address)
        assert_skipped(harness, name, caplog)


def test_names_that_end_in_a_slash_are_skipped(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """Tools write them for folders that they show."""
    harness = make_harness()
    for name in ("in/", f"{MAILBOX}/messages/M/", "a//"):
        harness.put(name, b"", mailbox=MAILBOX, messageid="M=")
        assert_skipped(harness, name, caplog)


def test_directories_are_skipped(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """As a hierarchical account describes them."""
    harness = make_harness(None, Product(storage=storage_over(DirectoryTransport())))
    harness.put("in", b"", mailbox=MAILBOX, messageid="M=")
    assert_skipped(harness, "in", caplog)


def test_a_file_whose_marker_says_no_is_a_file(make_harness: MakeHarness) -> None:
    """Only a marker that is true makes a folder."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("in/a.pdf", b"1", hdi_isfolder="false", mailbox=MAILBOX, messageid=item)
    assert harness.transfer("in/a.pdf").state == "attached"
