"""
Every error raised on purpose, grouped by what the caller can do about it.

EtlError
├── ConfigurationError        fix the configuration or credentials      exit 3
│   ├── MissingExtra
│   ├── CredentialsRefused
│   ├── FeatureDisabled
│   ├── ForeignRedirect
│   ├── CertificateNotTrusted
│   ├── TlsRefused
│   ├── ProxyRefused
│   └── AccountChanged
├── SourceError               the API failed or broke its contract      exit 1
│   ├── Unreachable
│   │   └── UndecodableResult     every response was unreadable
│   ├── RequestRefused
│   ├── NotFound              404 or 410, which some callers expect
│   ├── NotTheApi             a proxy or sign-in page responded instead
│   ├── EmptyPage             empty although the list is not; a smaller page may help
│   ├── UnreadablePage
│   │   ├── CorruptPage       one record makes it unreadable (in extract.payload)
│   │   └── BodyTooLarge      a smaller page may help
│   ├── PageLoop
│   ├── RunawayScan
│   ├── DriftingPages
│   └── MassRemoval
├── DatabaseError             the database cannot be used               exit 4
│   ├── NoTablesError
│   ├── SchemaTooNewError
│   ├── SchemaOutdatedError
│   ├── ForeignTablesError
│   └── TransactionPooler
├── ExportError               the output cannot be written              exit 1
│   └── UnsuitableExport      the table lacks this format or filter     exit 2
├── RecordsRejected           with --strict: records were rejected      exit 5
├── SyncRunning               another sync holds the lock               exit 75
├── Stopped                   the run was stopped early
│   ├── Interrupted               by a signal or its caller             exit 129, 130 or 143
│   └── TimedOut                  by its deadline                       exit 1
└── RecordError               this record is rejected                   never ends a run
"""

from __future__ import annotations

import signal


class EtlError(Exception):
    """An error whose message is one line: what happened, where, and what to do."""

    exit_code = 1


class ConfigurationError(EtlError):
    """A setting or the key must be fixed first; retrying does not help."""

    exit_code = 3


class MissingExtra(ConfigurationError):
    """A feature needs packages that are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed: run pip install 'gcore-ai-tasks-etl[{extra}]'"
        )


class CredentialsRefused(ConfigurationError):
    """The API refused the key (401 or 403)."""

    def __init__(self, status_code: int, base_url: str) -> None:
        self.status_code = status_code
        super().__init__(
            f"{base_url} refused the API key (HTTP {status_code}): check GCORE_API_KEY; "
            "the token may have expired or been deleted, "
            "or the shell may have replaced text after a $, which single quotes prevent"
        )


class FeatureDisabled(ConfigurationError):
    """AI tasks are not enabled for the account (422)."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "AI tasks are not enabled for this account (HTTP 422): ask Gcore support to enable them"
            + (f"; the API says: {message}" if message else "")
        )


class ForeignRedirect(ConfigurationError):
    """The base URL redirects to another origin, to which the key must not be sent."""

    def __init__(self, origin: str, target: str) -> None:
        super().__init__(
            f"{origin} redirects to another host, {target}; the key was not sent there: "
            "if the API has moved there, set GCORE_BASE_URL to it; "
            "if it is the sign-in page of a network or proxy, sign in first"
        )


class CertificateNotTrusted(ConfigurationError):
    """The certificate of the API or a proxy is untrusted, expired, or for another host."""


class TlsRefused(ConfigurationError):
    """The server does not support TLS or any common version of it, or requires a client certificate."""


class ProxyRefused(ConfigurationError):
    """The proxy requires a password, or refuses to connect to the API."""


class AccountChanged(ConfigurationError):
    """The key belongs to another account than the tasks in this database."""

    def __init__(self, seen: list[int], known: list[int]) -> None:
        self.seen, self.known = seen, known
        super().__init__(
            f"this database contains the tasks of {_clients(known)}, but the API key belongs to "
            f"{_clients(seen)}; no task was stored: use another database (-d), another key, "
            "or --allow-account-change"
        )


class SourceError(EtlError):
    """The API failed or broke its contract. Loaded records are kept, and a later run may succeed."""


class Unreachable(SourceError):
    """No usable response within the time allowed for one request."""


class UndecodableResult(Unreachable):
    """Every response within that time was unreadable."""


class RequestRefused(SourceError):
    """The API refused the request (a 4xx that retrying does not change)."""

    def __init__(self, status_code: int, path: str, message: str) -> None:
        self.status_code = status_code
        super().__init__(f"the API refused {path} (HTTP {status_code})" + (f": {message}" if message else ""))


class NotFound(SourceError):
    """A 404 or 410, which is expected past the last page and for an expired result."""

    def __init__(self, status_code: int, path: str) -> None:
        self.status_code = status_code
        super().__init__(
            f"the API has nothing at {path} (HTTP {status_code}): check GCORE_BASE_URL, if it is set"
        )


class NotTheApi(SourceError):
    """The response was an HTML page: from a proxy, a firewall, or a network's sign-in page."""

    def __init__(self, status_code: int, base_url: str, *, proxy: str = "") -> None:
        self.status_code = status_code
        super().__init__(
            f"{base_url}: a proxy, firewall or sign-in page responded instead of the API "
            f"(HTML, HTTP {status_code}{f', through {proxy}' if proxy else ''}): "
            "open the address in a browser to see it, and check GCORE_BASE_URL, if it is set"
        )


class EmptyPage(SourceError):
    """A first page without tasks, from a list that is not empty."""

    def __init__(self, count: int | None) -> None:
        super().__init__(
            "the response contains no tasks" + (f", although the count is {count:,}" if count else "")
        )


class UnreadablePage(SourceError):
    """A body that is truncated, is not JSON, or is not the JSON of a page or task."""


class BodyTooLarge(UnreadablePage):
    """A body with more bytes or values than are kept in memory; retrying does not help."""


class PageLoop(SourceError):
    """The API returns the same tasks again for every page."""

    def __init__(self, page: int) -> None:
        self.page = page
        super().__init__(
            f"page {page} repeats earlier pages, so the API ignores the page number: "
            "check GCORE_BASE_URL, if it is set, and report this to Gcore support"
        )


class RunawayScan(SourceError):
    """A list that grows faster than it can be read, or never ends."""


class DriftingPages(SourceError):
    """Page drift: the list kept changing, so that no complete scan could be proved."""


class MassRemoval(SourceError):
    """So many tasks are missing that deletion is implausible, so none is marked as removed."""

    def __init__(self, missing: int, present: int) -> None:
        self.missing, self.present = missing, present
        super().__init__(
            f"{missing:,} of {present:,} tasks are no longer listed by the API; none was marked as removed: "
            "check the key and the account, or use --allow-mass-removal if the tasks were really deleted"
        )


class DatabaseError(EtlError):
    """The database cannot be used: it is down, unreadable, full, or belongs to another program."""

    exit_code = 4


class NoTablesError(DatabaseError):
    """The database does not exist yet, or has no tables, so there is nothing to read."""


class SchemaTooNewError(DatabaseError):
    """The schema is newer than this release."""


class SchemaOutdatedError(DatabaseError):
    """The schema is older than this release, and this command may not upgrade it."""


class ForeignTablesError(DatabaseError):
    """The database contains tables with our names that were created by another program."""


class TransactionPooler(DatabaseError):
    """A pooler may run each transaction in another session, so session locks do not work."""

    def __init__(self) -> None:
        super().__init__(
            "the database is behind a pooler, such as PgBouncer in transaction mode, that may run each "
            "transaction in another session, so the lock that excludes a second writer does not work: "
            "connect to Postgres directly, or use a pool in session mode"
        )


class ExportError(EtlError):
    """The file, folder or standard output cannot be written."""


class UnsuitableExport(ExportError):
    """The table does not support this format, filter or period."""

    exit_code = 2


class RecordsRejected(EtlError):
    """With `--strict`: some records were rejected; all others were loaded."""

    exit_code = 5


class SyncRunning(EtlError):
    """Another process is writing to this database."""

    exit_code = 75


class Stopped(EtlError):
    """The run was stopped. Loaded data is kept, and the next run continues from there."""


class Interrupted(Stopped):
    """A signal or the caller stopped the run; `note` describes the resulting state."""

    def __init__(self, signal_number: int = signal.SIGINT, note: str = "") -> None:
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
        super().__init__(f"interrupted; {note}" if note else "interrupted")


class TimedOut(Stopped):
    """The run reached its deadline."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        shown = f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}"  # noqa: PLR2004
        super().__init__(
            f"timed out after {shown} s (--timeout): what was loaded is kept, "
            "and the next sync continues from there"
        )


class RecordError(EtlError):
    """One record cannot be loaded; it is rejected, and the run continues."""


def _clients(numbers: list[int]) -> str:
    if not numbers:
        return "an account without client ids"
    return f"client {', '.join(map(str, numbers[:5]))}" + (", …" if len(numbers) > 5 else "")  # noqa: PLR2004
