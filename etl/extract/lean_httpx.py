"""
httpx without its command line.

If pygments and rich are installed, `import httpx` loads both for its command line, which is not used here,
and takes three times as long. httpx does not need them (they are its extra `cli`), so this module hides
pygments during the import.
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
