"""
Every error raised on purpose, sorted by what the caller should do about it.

EtlError
├── ConfigurationError        fix the settings or the key               exit 3
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
│   │   └── UndecodableResult     it answers, but never so that it can be read
│   ├── RequestRefused
│   ├── NotFound              a 404 or 410: an answer to some questions
│   ├── NotTheApi             something else on the way answered in its place
│   ├── EmptyPage             there is something to be listed: not so long a page, perhaps
│   ├── UnreadablePage
│   │   ├── CorruptPage        one record in it spoils the rest (in extract.payload)
│   │   └── BodyTooLarge      it stays too large: fewer records at once may not be
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
├── ExportError               a file cannot be written                  exit 1
│   └── UnsuitableExport      no such format, filter or period of it    exit 2
├── RecordsRejected           with --strict: records were set aside     exit 5
├── SyncRunning               another sync holds the lock               exit 75
├── Stopped                   the run ended early, because it was told to
│   ├── Interrupted               a signal, or its caller, ended it     exit 130 or 143
│   └── TimedOut                  its deadline passed                   exit 1
└── RecordError               set this record aside and go on           never ends a run
"""

from __future__ import annotations

import signal


class EtlError(Exception):
    """Something went wrong that one line can explain: what, where, and how to mend it."""

    exit_code = 1


class ConfigurationError(EtlError):
    """Nothing will get better by trying again: a setting or the key has to be mended."""

    exit_code = 3


class MissingExtra(ConfigurationError):
    """What was asked for needs packages that were not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed: pip install 'gcore-ai-tasks-etl[{extra}]'"
        )


class CredentialsRefused(ConfigurationError):
    """The API refused the key (401 or 403)."""

    def __init__(self, status_code: int, base_url: str) -> None:
        self.status_code = status_code
        super().__init__(
            f"{base_url} refused the API key (HTTP {status_code}): check GCORE_API_KEY; "
            "the token may have expired or been deleted, "
            "and a shell replaces what follows a $ unless the key is in single quotes"
        )


class FeatureDisabled(ConfigurationError):
    """The account may not use AI tasks (422)."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "AI tasks are not enabled for this account (HTTP 422): ask Gcore's support to enable them"
            + (f"; the server says: {message}" if message else "")
        )


class ForeignRedirect(ConfigurationError):
    """The base URL leads to another origin, which must not see the key."""

    def __init__(self, origin: str, target: str) -> None:
        super().__init__(
            f"{origin} redirects to another host, {target}, which was not sent the key: "
            "if that is where the API lives now, set GCORE_BASE_URL to it; "
            "if it is the sign-in page of a network or proxy, sign in there first"
        )


class CertificateNotTrusted(ConfigurationError):
    """The certificate of the API, or of a proxy, is signed by nobody trusted, expired, or another host's."""


class TlsRefused(ConfigurationError):
    """The other end speaks no TLS, none that is spoken here, or wants a certificate of ours."""


class ProxyRefused(ConfigurationError):
    """The proxy wants a password, or connects nobody to the API."""


class AccountChanged(ConfigurationError):
    """The key belongs to another account than the one this database copies."""

    def __init__(self, seen: list[int], known: list[int]) -> None:
        self.seen, self.known = seen, known
        super().__init__(
            f"this database holds the tasks of {_clients(known)}, the API key gives those of "
            f"{_clients(seen)}; nothing was stored: use another database (-d), another key, "
            "or --allow-account-change"
        )


class SourceError(EtlError):
    """The API failed or broke its contract. What was loaded stays; a later run may succeed."""


class Unreachable(SourceError):
    """No usable answer within the time allowed for one request."""


class UndecodableResult(Unreachable):
    """Every answer within that time was none that can be read."""


class RequestRefused(SourceError):
    """The API called the request itself wrong (a 4xx that no retry mends)."""

    def __init__(self, status_code: int, path: str, message: str) -> None:
        self.status_code = status_code
        super().__init__(f"the API refused {path} (HTTP {status_code})" + (f": {message}" if message else ""))


class NotFound(SourceError):
    """A 404 or 410. Past the last page, and for an expired result, it is the answer and no failure."""

    def __init__(self, status_code: int, path: str) -> None:
        self.status_code = status_code
        super().__init__(
            f"the API knows nothing at {path} (HTTP {status_code}): check GCORE_BASE_URL, if it is set"
        )


class NotTheApi(SourceError):
    """A page of HTML came as the answer: from a proxy, a firewall, or a network that wants a sign-in."""

    def __init__(self, status_code: int, base_url: str, *, proxy: str = "") -> None:
        self.status_code = status_code
        super().__init__(
            f"{base_url}: a proxy, firewall or sign-in page answered instead of the API "
            f"(HTML, HTTP {status_code}{f', through {proxy}' if proxy else ''}): "
            "open the address in a browser to see what it says; check GCORE_BASE_URL, if it is set"
        )


class EmptyPage(SourceError):
    """A first page without a record, from a list that has some."""

    def __init__(self, count: int | None) -> None:
        super().__init__("they come without a task" + (f", and a count of {count:,}" if count else ""))


class UnreadablePage(SourceError):
    """A body that is not JSON, is cut short, or is JSON of another shape than a page or a task."""


class BodyTooLarge(UnreadablePage):
    """A body larger than is kept in memory, or with more values in it; asked for again, it is as large."""


class PageLoop(SourceError):
    """The walk comes by the same records again and again, whatever page it asks for."""

    def __init__(self, page: int) -> None:
        self.page = page
        super().__init__(f"page {page} shows what earlier pages showed: the API ignores the page number")


class RunawayScan(SourceError):
    """A list grows faster than it can be read, or never ends."""


class DriftingPages(SourceError):
    """The list never held still long enough for two neighbouring pages to be joined."""


class MassRemoval(SourceError):
    """So many tasks are gone at once that the source, not the tasks, is doubted."""

    def __init__(self, missing: int, present: int) -> None:
        self.missing, self.present = missing, present
        super().__init__(
            f"{missing:,} of {present:,} tasks are no longer listed by the API; none was marked as removed: "
            "check the key and the account, and if they are really gone, use --allow-mass-removal"
        )


class DatabaseError(EtlError):
    """The database cannot be used: down, unreadable, full, or not ours."""

    exit_code = 4


class NoTablesError(DatabaseError):
    """There is no database yet, or nothing in it: whoever only reads finds nothing."""


class SchemaTooNewError(DatabaseError):
    """A newer release has upgraded this database."""


class SchemaOutdatedError(DatabaseError):
    """The schema is older than the code, and this run may not upgrade it."""


class ForeignTablesError(DatabaseError):
    """Tables with our names that we did not make."""


class TransactionPooler(DatabaseError):
    """A pooler hands out another session for each transaction, so that no lock of a session holds."""

    def __init__(self) -> None:
        super().__init__(
            "the database is behind a pooler, such as PgBouncer in transaction mode, that may "
            "give each transaction another session, so that no lock keeps a second writer out: "
            "connect to Postgres directly, or use a pool in session mode"
        )


class ExportError(EtlError):
    """A file or folder cannot be written, or what was asked for is not in the table."""


class UnsuitableExport(ExportError):
    """What was asked for cannot be written in that way, whatever the disk does."""

    exit_code = 2


class RecordsRejected(EtlError):
    """With `--strict`: everything else was loaded, but some records were set aside."""

    exit_code = 5


class SyncRunning(EtlError):
    """Another process writes to this database."""

    exit_code = 75


class Stopped(EtlError):
    """The run was told to stop. What was loaded stays; the next run continues from there."""


class Interrupted(Stopped):
    """A signal, or the caller, told the run to stop; `note` says what that leaves behind."""

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
    """One record cannot be loaded: park it and go on."""


def _clients(numbers: list[int]) -> str:
    return f"client {_listed(numbers)}" if numbers else "an account without client numbers"


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers[:5]) + (", …" if len(numbers) > 5 else "")  # noqa: PLR2004
