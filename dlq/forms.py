"""The forms of a reviewer's decisions."""

from __future__ import annotations

from typing import Any

from django import forms

from dlq.services import MAX_SELECTION


class Ids(forms.CharField):
    """Ids separated by commas, as a frozen selection carries them."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> list[int]:  # type: ignore[override]
        text = super().to_python(value) or ""
        parts = [part for part in text.split(",") if part]
        if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
            raise forms.ValidationError("ids: not a list of dead letters")
        if len(parts) > MAX_SELECTION:
            raise forms.ValidationError(f"ids: more than {MAX_SELECTION:,} at once")
        return [int(part) for part in parts]


class ReplayForm(forms.Form):
    reason = forms.CharField(required=False, max_length=500)
    over_limit = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("over_limit") and not cleaned.get("reason"):
            self.add_error("reason", "A replay past the limit needs a reason.")
        return cleaned


class DiscardForm(forms.Form):
    reason = forms.CharField(max_length=500, error_messages={"required": "Discarding needs a reason."})


class _Typed(forms.Form):
    """A frozen selection, confirmed by its count: nobody sends 400 by one click."""

    ids = Ids()
    confirm = forms.CharField(required=False)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        count = len(cleaned.get("ids") or [])
        if count > 1 and cleaned.get("confirm", "").strip() != str(count):
            self.add_error("confirm", f"Type {count} to confirm.")
        return cleaned


class BulkReplayForm(_Typed):
    """Without the override: what keeps coming back is looked at one by one."""

    reason = forms.CharField(required=False, max_length=500)


class BulkDiscardForm(_Typed, DiscardForm):
    pass


def problems(form: forms.Form) -> str:
    """All that is wrong with it, in one line."""
    return " ".join(str(error) for errors in form.errors.values() for error in errors)
