"""
httpx without its command line.

Where rich and pygments are installed, as they are here, `import httpx` loads them both for a command that
nobody runs in this process; without, it takes a third of the time.
"""

from __future__ import annotations

import sys

_COMMAND_LINE = "httpx._main"

if "httpx" in sys.modules:
    import httpx
else:
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]  # importing it fails, which httpx expects
    try:
        import httpx
    finally:
        del sys.modules[_COMMAND_LINE]

__all__ = ["httpx"]
