"""The issuer's pages: signing in, confirming a device, and what is wrong. Plain HTML without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

_STYLE = (
    "body{font:16px system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;background:#f3f5f7;color:#1c2733}"
    "main{background:#fff;border:1px solid #d5dbe1;border-radius:8px;padding:32px;width:min(340px,90vw)}"
    "h1{font-size:20px;margin:0 0 4px}p{color:#52606d;margin:0 0 16px}label{display:block;margin:0 0 12px}"
    "input{font:inherit;width:100%;box-sizing:border-box;padding:8px;border:1px solid #9aa5b1;border-radius:4px;margin-top:4px}"
    "button{font:inherit;width:100%;padding:10px;border:0;border-radius:4px;background:#14507a;color:#fff}"
    ".wrong{color:#a61b1b}.code{font:600 28px monospace;letter-spacing:2px;text-align:center;color:#1c2733}"
)
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action *; frame-ancestors 'none'; base-uri 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def sign_in(hidden: Mapping[str, str], *, client: str, wrong: str = "") -> str:
    """The form; `hidden` carries the request along."""
    fields = "".join(
        f'<input type="hidden" name="{escape(n, quote=True)}" value="{escape(v, quote=True)}">'
        for n, v in hidden.items()
    )
    return _page(
        "Sign in",
        f"<h1>Sign in</h1><p>to {escape(client)}, on the local stack</p>"
        + (f'<p class="wrong" role="alert">{escape(wrong)}</p>' if wrong else "")
        + f'<form method="post">{fields}'
        '<label>Name<input name="name" autocomplete="username" required autofocus></label>'
        '<label>Password<input name="password" type="password" autocomplete="current-password" required></label>'
        '<label>One-time password, if asked for<input name="one_time" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9]{6}">'
        "</label><button>Sign in</button></form>",
    )


def device(code: str) -> str:
    """Asks for a device's code."""
    return _page(
        "Confirm a device",
        "<h1>Confirm a device</h1><p>Type the code that your terminal shows.</p>"
        f'<form method="get"><label>Code<input name="user_code" value="{escape(code, quote=True)}" required autofocus></label>'
        "<button>Go on</button></form>",
    )


def message(title: str, text: str) -> str:
    """Something to read."""
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>")


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><main>{body}</main></html>"
    )
