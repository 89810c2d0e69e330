"""What commands write to a terminal: people's lines in one way, JSON as it is.

A name in Kafka may hold any character. Written raw, an escape sequence clears the screen or sets the
clipboard, and a line break forges a row of the table it stands in. So a row is one call of `line`, and
whatever a command writes otherwise can at least not steer the terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, OutputWrapper

from gdsconsole.text.visible import visible


def terminal_line(text: str) -> str:
    """The text as one line that steers nothing, whatever stood in it."""
    return str(visible(text))


def terminal_lines(text: str) -> str:
    """The same of a text of several lines; those after the first are indented, so none stands for another."""
    first, *others = text.rstrip("\n").split("\n")
    return "\n".join([terminal_line(first), *(f"  {terminal_line(other)}" for other in others)])


class _Escaped(OutputWrapper):
    """A stream whose text is made safe before it is coloured. JSON has nothing left to escape."""

    def __init__(self, stream: OutputWrapper, escape: Callable[[str], str]) -> None:
        out: Any = stream._out
        super().__init__(out)
        self.style_func = stream.style_func
        self._escape = escape

    def write(  # type: ignore[override]  # as Django's own, which is no stream's
        self, msg: str = "", style_func: Callable[[str], str] | None = None, ending: str | None = None
    ) -> None:
        super().write(self._escape(msg), style_func, ending)


def _without_controls(text: str) -> str:
    return str(visible(text, keep="\n"))


class TerminalCommand(BaseCommand):
    """A command of the console. `stdout.write` is for JSON; people are written to by `line` and `tell`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._escape_streams()

    def execute(self, *args: Any, **options: Any) -> str | None:
        for name in ("stdout", "stderr"):
            given = options.pop(name, None)
            if given is not None:
                setattr(self, name, OutputWrapper(given))
        self._escape_streams()
        return super().execute(*args, **options)

    def line(self, text: str = "") -> None:
        """One line of the result, for people."""
        self.stdout.write(terminal_line(text))

    def tell(self, text: str) -> None:
        """One line beside the result, on standard error."""
        self.stderr.write(terminal_line(text))

    def _escape_streams(self) -> None:
        self.stdout = _Escaped(self.stdout, _without_controls)
        self.stderr = _Escaped(self.stderr, terminal_lines)
