"""axe-core on a page: what keeps somebody from reading or using it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from gdsconsole.devstack.vendor import TESTS_VENDOR

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMPACTS = frozenset({"serious", "critical"})
_SETTLED = """() => {
  const ends = (one) => one.effect.getTiming().iterations !== Infinity;
  return Promise.all(document.getAnimations().filter(ends).map((one) => one.finished));
}"""
_RUN = "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations)"


def violations(page: Page) -> list[str]:
    """The serious and critical violations, each with its rule, what it is, and where.

    The script is evaluated by the browser's debugger, so the page's policy needs no exception.
    """
    page.evaluate(_source())
    # The colours of a transition that is under way are nobody's.
    page.evaluate(_SETTLED)
    return [
        f"{found['impact']} {found['id']}: {found['help']}: {node['target']} {node['html'][:200]}"
        for found in page.evaluate(_RUN)
        if found["impact"] in IMPACTS
        for node in found["nodes"]
    ]


@cache
def _source() -> str:
    return (TESTS_VENDOR / "axe-core" / "axe.min.js").read_text()
