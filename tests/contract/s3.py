"""An S3 endpoint for tests: moto's server, in a process of its own, spoken to over HTTP like any other.

What tests need besides objects (buckets, users, uploads that nobody ended) is asked of it by hand: a request counts as
one to S3 or to IAM by the scope of its signature, and as long as nobody is refused no signature is looked at.
"""

from __future__ import annotations

import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode

from embedded.ports import LOOPBACK, any_free
from embedded.process import Command, Process
from embedded.waiting import wait_until

START_SECONDS = 60.0
REGION = "us-east-1"
ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


class S3:
    def __init__(self, folder: Path) -> None:
        self.port = any_free()
        self.url = f"http://{LOOPBACK}:{self.port}"
        argv = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port)]
        self._process = Process(Command("moto", argv), folder / "moto.log")

    def start(self) -> None:
        """Returns when it answers. Raises StartError, with the end of its log."""
        self._process.start()
        wait_until(lambda: self._process.poll() is not None or self._answers(), START_SECONDS)
        if self._process.poll() is not None or not self._answers():
            self.stop()
            raise self._process.failed(f"does not answer at {self.url}")

    def stop(self) -> None:
        """At once: there is nothing in it to keep."""
        self._process.kill()

    def options(self, user: tuple[str, str] = ("AKIATESTTESTTESTTEST", "any")) -> dict[str, str]:
        """What a Store needs to use it, as the user of an access key and its secret."""
        return {
            "aws_endpoint": self.url,
            "aws_region": REGION,
            "aws_access_key_id": user[0],
            "aws_secret_access_key": user[1],
            "allow_http": "true",
        }

    def make_bucket(self, name: str) -> None:
        self._ask("PUT", f"/{name}")

    def uploads(self, bucket: str) -> list[str]:
        """The names of uploads in parts that were begun and neither ended nor called off."""
        return re.findall("<Key>([^<]+)</Key>", self._ask("GET", f"/{bucket}?uploads"))

    def make_user(self, name: str) -> tuple[str, str]:
        """Somebody who may do everything: access key and secret."""
        self._iam(Action="CreateUser", UserName=name)
        self._iam(Action="PutUserPolicy", UserName=name, PolicyName="all", PolicyDocument=ALL)
        made = self._iam(Action="CreateAccessKey", UserName=name)
        key, secret = (re.search(f"<{field}>([^<]+)<", made) for field in ("AccessKeyId", "SecretAccessKey"))
        assert key
        assert secret
        return key[1], secret[1]

    @contextmanager
    def refusing_strangers(self) -> Iterator[None]:
        """Only users that were made are let in, and signatures are looked at."""
        self._let_in(0)
        try:
            yield
        finally:
            self._let_in(float("inf"))

    def _let_in(self, requests: float) -> None:
        """How many more whose signature is not looked at."""
        self._ask("POST", "/moto-api/reset-auth", str(requests).encode(), content="text/plain")

    def _iam(self, **fields: str) -> str:
        form = urlencode({**fields, "Version": "2010-05-08"}).encode()
        return self._ask("POST", "/", form, service="iam", content="application/x-www-form-urlencoded")

    def _ask(self, method: str, path: str, body: bytes = b"", *, service: str = "s3", content: str = "") -> str:
        scope = f"AWS4-HMAC-SHA256 Credential=test/20261125/{REGION}/{service}/aws4_request, SignedHeaders=, Signature="
        headers = {"Authorization": scope, "Content-Type": content}
        request = urllib.request.Request(self.url + path, body or None, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/moto-api/")
        except (URLError, OSError):
            return False
        return True
