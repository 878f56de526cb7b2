import json

from shared.outlook.item import OutlookFile, OutlookItem


def test_ids_are_encoded_in_paths() -> None:
    """Old ids contain slashes and pluses; an id stays one path segment."""
    item = OutlookItem("a b@contoso.com", "event", "AAMk/a+b==?")
    assert item.path == "/users/a%20b@contoso.com/events/AAMk%2Fa%2Bb%3D%3D%3F"
    assert str(item) == "a b@contoso.com/events/AAMk/a+b==?"
    assert item.permission == "Calendars.ReadWrite"


def test_a_content_id_makes_a_picture_inline() -> None:
    """In both kinds of requests, and only then."""
    inline = OutlookFile("logo.png", 4, "image/png", "cid-1")
    plain = OutlookFile("logo.png", 4, "image/png")
    assert json.loads(inline.attachment_item())["AttachmentItem"] == {
        "attachmentType": "file",
        "name": "logo.png",
        "size": 4,
        "contentType": "image/png",
        "isInline": True,
        "contentId": "cid-1",
    }
    posted = json.loads(inline.file_attachment(b"\x00\x00\x00"))
    assert (posted["contentId"], posted["contentBytes"]) == ("cid-1", "AAAA")
    assert b"isInline" not in plain.file_attachment(b"")
