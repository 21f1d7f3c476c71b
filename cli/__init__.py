"""The command line: parses arguments, calls one library function, reports the result.

Heavy imports are inside the commands, so that every ``--help`` answers at once; here nothing is imported before signals are
answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

from . import _signals

if TYPE_CHECKING:
    from ._commands import facesynth as facesynth

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"_commands": ["facesynth"]})


def main() -> None:
    """Run the command line; an error becomes one line and exit code 2, a signal one line and 130 (SIGINT) or 143 (SIGTERM)."""
    _signals.answer()
    try:
        from ._commands import run

        run()
    except BaseException:  # what a signal interrupts may raise anything
        _signals.leave_if_stopped()
        raise
