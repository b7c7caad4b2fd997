"""
httpx without its command line.

Where pygments and rich are installed, as they are here, `import httpx` loads both for a command that nobody
runs in this process, and takes three times as long. httpx needs neither (they are its extra `cli`), so
pygments is hidden from it.
"""

from __future__ import annotations

import sys

_ONLY_FOR_THE_COMMAND_LINE = "pygments"

if {"httpx", _ONLY_FOR_THE_COMMAND_LINE} & sys.modules.keys():
    import httpx
else:
    sys.modules[_ONLY_FOR_THE_COMMAND_LINE] = None  # type: ignore[assignment]  # importing it fails
    try:
        import httpx
    finally:
        del sys.modules[_ONLY_FOR_THE_COMMAND_LINE]

__all__ = ["httpx"]
