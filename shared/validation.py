"""Validation errors of pydantic as this app's own faults."""

from pydantic import ValidationError

from shared.errors import FieldFault

# In place of sentences that name classes of this app.
_OWN = {
    "extra_forbidden": "unknown field",
    "model_type": "should be a JSON object",
    "model_attributes_type": "should be a JSON object",
}


def field_faults(error: ValidationError) -> list[FieldFault]:
    """Every fault that pydantic found, without the values: they may be secret."""
    return [
        FieldFault(
            ".".join(map(str, fault["loc"])),
            _OWN.get(fault["type"]) or fault["msg"].removeprefix("Value error, "),
        )
        for fault in error.errors(include_url=False, include_input=False)
    ]
