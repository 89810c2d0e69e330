"""What Django's page and mail about an error may show: no setting that holds a password."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class NoPasswords(SafeExceptionReporterFilter):
    """Django hides what is named like a secret; addresses of services and the whole environment aren't."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|_URL|_DSN|^ENVIRONMENT$|^DATABASES$|^KAFKA_CONFIG",
        flags=re.IGNORECASE,
    )
