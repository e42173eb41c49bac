"""What obstore's errors mean: put into our own tree here, and nowhere else.

It raises a few classes of its own and some of Python's, and panics where a setting makes no sense; what happened is in
the text alone. That text ends in a debug record, and may quote the store's whole answer, in which S3 repeats the access
key and what was signed with it: so of an answer only its code and its message are told.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from obstore import exceptions

from worker.core.errors import ObjectMissing, ReplicationError, StoreFull, StoreRefused, StoreUnavailable
from worker.core.redact import scrub

PANIC = "PanicException"  # its module cannot be imported, and it is no Exception
_LONGEST = 300  # characters of a library's words in a message

_SYSTEM = re.compile(r"\(os error (\d+)\)")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_CODES = ("XMinioStorageFull", "507 Insufficient Storage", "QuotaExceeded")  # MinIO, any, Ceph
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
# what a person has to change: repeating the request would not
_REFUSED = (
    "403 Forbidden",
    "401 Unauth",
    "NoSuchBucket",
    "ContainerNotFound",
    "InvalidBucketName",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "ExpiredToken",
    "InvalidToken",
    "AuthorizationHeaderMalformed",  # the wrong region; the message names the right one
    "incorrectly configured region",
    "InvalidCertificate",
    "BadScheme",
)
_REQUEST = re.compile(r"Error performing [A-Z]+ (\S+) in ")
_ANSWER = re.compile(r"status code: (\d{3}[^:\n]*)")
_TOLD = re.compile(r"<Code>([^<]{1,80})</Code>\s*(?:<Message>([^<\n]{1,200}))?")
_CAUSE = re.compile(r'\b(?:message|error): "([^"\n]{1,200})"')
# of the debug record; the first that fits
_BROKEN = (
    ("InvalidCertificate", "the certificate of {server} does not verify"),
    ("BadScheme", "{server} is not https, which the option allow_http=true would allow"),
    ("TimedOut", "no answer from {server} within the time-out"),
    ("kind: Connect", "no connection to {server}: {cause}"),
    ("HTTP error", "the connection to {server} broke off"),
)


@contextmanager
def translated(store: str, name: str = "", *, writing: bool = False) -> Iterator[None]:
    """Around calls of obstore. `writing`: what is not found then is no object of ours."""
    try:
        yield
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise _meaning(error, store, name, writing) from None
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise StoreRefused(f"{store}: its URL or its options make no sense: {first_line(error)}") from None


def _meaning(error: Exception, store: str, name: str, writing: bool) -> ReplicationError:
    text = str(error)
    what = f"{store}: {name}" if name else store
    found = _SYSTEM.search(text)
    number = int(found[1]) if found else None
    if number in _FULL or any(code in text for code in _FULL_CODES):
        return StoreFull(f"{store}: no space left to write {name}")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError | PermissionError):
        return StoreRefused(f"{what}: access is refused: {_said(text)}")
    if number in _DENIED or any(words in text for words in _REFUSED):
        return StoreRefused(f"{what}: access is refused: {_said(text)}")
    if isinstance(error, ValueError):
        return ObjectMissing(f"{store}: there can be no object {name!r}")
    if isinstance(error, FileNotFoundError | exceptions.NotFoundError) and not writing:
        return ObjectMissing(f"{store}: there is no object {name}")
    return StoreUnavailable(f"{what}: {_said(text)}")


def _said(text: str) -> str:
    """The point of it, in one line without credentials."""
    if answer := _ANSWER.search(text):
        told = _TOLD.search(text, answer.end())
        words = ": ".join(part.strip() for part in told.groups() if part) if told else f"it answers {answer[1].strip()}"
        return scrub(words)
    cause = _CAUSE.search(text)
    for mark, words in _BROKEN:
        if mark in text:
            return words.format(server=_server(text), cause=cause[1] if cause else "it was not made")
    return first_line(text)


def _server(text: str) -> str:
    """Where the request went. What follows the host may be a signature."""
    found = _REQUEST.search(text)
    parts = urlsplit(found[1]) if found else None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts and parts.netloc else "the store"


def first_line(error: object) -> str:
    """Libraries print whole debug records; a person needs the first line."""
    return scrub(next(iter(str(error).strip().splitlines()), type(error).__name__))[:_LONGEST]
