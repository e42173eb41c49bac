"""Who looks at the pages: one of each role, with a token of their own."""

from __future__ import annotations

import secrets
from pathlib import Path

from playwright.sync_api import Page, expect

from config.tokens import Role, digest_of, new_token

TOKENS = {role: new_token() for role in Role}


def settings(folder: Path) -> dict[str, str]:
    """For an API that knows them."""
    path = folder / "tokens"
    path.write_text("".join(f"{role.word}={role.word}:sha256:{digest_of(token)}\n" for role, token in TOKENS.items()))
    return {"API_TOKENS_FILE": str(path), "SECRET_KEY": secrets.token_hex(32)}


def sign_in(page: Page, role: Role, to: str = "/sign-in") -> None:
    """As a person does; then at `to`, a page of ours."""
    page.goto(f"/sign-in?next={to}")
    page.get_by_label("Token").fill(TOKENS[role])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(to)


def sign_out(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
