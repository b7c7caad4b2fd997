"""The exit codes as help texts explain them."""

from __future__ import annotations

EXIT_CODES = {
    "0": "success",
    "1": "failed; a retry may succeed (network, API, removal guard)",
    "2": "invalid usage",
    "3": "configuration or credentials must be fixed",
    "4": "the database cannot be used",
    "5": "records were rejected, with --strict",
    "75": "another sync is running",
    "129, 130, 143": "interrupted by a hangup, Ctrl-C or SIGTERM",
}
# \b keeps click from wrapping the list into one paragraph.
EPILOG = "\n".join(["\b", "Exit codes:", *(f"  {code:14} {text}" for code, text in EXIT_CODES.items())])
