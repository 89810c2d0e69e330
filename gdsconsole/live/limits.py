"""What a page's socket may cost. Plain numbers: the web server's command line reads them too."""

from __future__ import annotations

# Of one message from a page. Pages send nothing; whatever comes is not theirs.
MOST_BYTES_IN = 4_096
