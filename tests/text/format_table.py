"""What every format writes of every odd value: one table for Python and for the browser.

A row is [format, value, text]. JSON has no NaN and no infinity: they stand there as texts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TABLE: list[list[Any]] = json.loads((Path(__file__).parent / "formats.json").read_text())
