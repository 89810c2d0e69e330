"""Forms of the topics' pages."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from gdsconsole.web.filters import Problems
from gdsconsole.web.moments import MomentField

LARGEST_OFFSET = 2**63 - 1
_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,19})")


class PositionsField(forms.CharField):
    """An offset in each partition, as a page's own links write them: `0:1200,1:1187`."""

    def to_python(self, value: str | None) -> dict[int, int]:  # type: ignore[override]
        positions: dict[int, int] = {}
        for part in (super().to_python(value) or "").split(","):
            found = _PLACE.fullmatch(part)
            if found is not None and int(found[2]) <= LARGEST_OFFSET:
                if int(found[1]) in positions:
                    raise forms.ValidationError(f"partition {found[1]} is named twice")
                positions[int(found[1])] = int(found[2])
            elif part or value:
                raise forms.ValidationError(f"{part!r} is not partition:offset, such as 0:1200")
        return positions


def positions_text(positions: dict[int, int]) -> str:
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(positions.items()))


class MessagesForm(Problems, forms.Form):
    """Where in a topic to look, and for what. Without anything, at its newest records."""

    partition = forms.IntegerField(min_value=0, required=False)
    offset = forms.IntegerField(min_value=0, max_value=LARGEST_OFFSET, required=False)
    since = MomentField(required=False)
    q = forms.CharField(max_length=200, required=False, strip=False)
    before = PositionsField(required=False)
    after = PositionsField(required=False)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        if cleaned.get("offset") is not None and cleaned.get("partition") is None:
            self.add_error("offset", "an offset is one of a partition: choose the partition too")
        if cleaned.get("before") and cleaned.get("after"):
            self.add_error("after", "a page goes on from one place: either before or after")
        return cleaned
