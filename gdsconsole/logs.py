"""Lines of the log: what a record, a name or an error holds does not pass for a line of its own."""

from __future__ import annotations

import logging

from gdsconsole.cli.terminal import terminal_line, terminal_lines


class LineFormatter(logging.Formatter):
    """One line a message, escaped; a traceback's lines are indented, so none begins as a message does."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging names it
        record.message = terminal_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802  # logging names it
        return terminal_lines("\n" + super().formatException(ei)).lstrip("\n")  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # logging names it
        return terminal_lines("\n" + super().formatStack(stack_info)).lstrip("\n")
