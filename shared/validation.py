"""Validation errors of pydantic as this app's own faults."""

from pydantic import ValidationError

from shared.errors import FieldFault


def field_faults(error: ValidationError) -> list[FieldFault]:
    """Every fault that pydantic found, without the values: they may be secret."""
    return [
        FieldFault(
            ".".join(map(str, fault["loc"])),
            "unknown field"
            if fault["type"] == "extra_forbidden"
            else fault["msg"].removeprefix("Value error, "),
        )
        for fault in error.errors(include_url=False, include_input=False)
    ]
