"""The audit of the pinned packages: what was not checked is never taken for checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gdsconsole.devstack.audit import judged, vulnerabilities
from gdsconsole.env import ROOT


@pytest.mark.parametrize(
    ("found", "environ", "code", "said"),
    [
        ([], {}, 0, "dependencies checked: no known vulnerability"),
        (["x 1: CVE-1"], {}, 1, "vulnerable: x 1: CVE-1"),
        (["x 1: CVE-1"], {"DEPENDENCY_AUDIT": "optional"}, 1, "vulnerable: x 1: CVE-1"),
        (None, {}, 0, "not checked"),
        (None, {"CI": ""}, 0, "not checked"),
        (None, {"CI": "1"}, 1, "not checked"),
        (None, {"CI": "1", "DEPENDENCY_AUDIT": "optional"}, 0, "not checked"),
        (None, {"DEPENDENCY_AUDIT": "required"}, 1, "not checked"),
        ([], {"DEPENDENCY_AUDIT": "maybe"}, 2, "DEPENDENCY_AUDIT: 'maybe' is not required or optional"),
    ],
)
def test_what_is_said(found: list[str] | None, environ: dict[str, str], code: int, said: str) -> None:
    got, lines = judged(found, environ)
    assert got == code
    assert said in lines[0]


@pytest.mark.parametrize(
    "report",
    ["", "no network", "{}", json.dumps({"dependencies": [{"name": "x", "skip_reason": "not reached"}]})],
)
def test_a_report_of_nothing_is_no_answer(report: str) -> None:
    assert vulnerabilities(report) is None


def test_ci_says_for_itself_that_it_has_no_database() -> None:
    assert 'DEPENDENCY_AUDIT="${DEPENDENCY_AUDIT:-optional}"' in Path(ROOT / ".ci" / "run").read_text()
