#!/usr/bin/env python3
"""Plays a person at a browser with plain HTTP: follows redirects, keeps cookies, fills in the forms it is shown, presses a button.

    browser.py URL            as $BROWSER of `countersign login`
    browser.py URL CODE       types CODE where a device's code is asked for

LOGIN_NAME and LOGIN_PASSWORD are the person's; LOGIN_ANSWER=refuse presses the button that refuses. LOGIN_CA is whom to trust.
"""
import html.parser
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

PAGES_MAX = 25


class Forms(html.parser.HTMLParser):
    """Forms with their fields and buttons."""

    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag == "form":
            self.forms.append({"action": a.get("action"), "fields": {}, "kinds": {}, "buttons": []})
        elif not self.forms:
            return
        elif tag == "input" and a.get("name"):
            self.forms[-1]["fields"][a["name"]] = a.get("value", "")
            self.forms[-1]["kinds"][a["name"]] = a.get("type", "text")
        elif tag == "button":
            self.forms[-1]["buttons"].append((a.get("name"), a.get("value", "")))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def opener():
    context = ssl.create_default_context(cafile=os.environ.get("LOGIN_CA"))
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPCookieProcessor(CookieJar()),
        NoRedirect(),
    )


def filled(form, code):
    """The form's fields as this person fills them in."""
    name, password = os.environ.get("LOGIN_NAME", ""), os.environ.get("LOGIN_PASSWORD", "")
    fields = dict(form["fields"])
    for field, kind in form["kinds"].items():
        if kind == "password":
            fields[field] = password
        elif kind != "hidden" and field in ("user_code",):
            fields[field] = code or fields[field]
        elif kind != "hidden" and field in ("name", "login", "username"):
            fields[field] = name
    wanted = os.environ.get("LOGIN_ANSWER", "allow")
    for button, value in form["buttons"]:
        if button and (value == wanted or len(form["buttons"]) == 1):
            fields[button] = value
    return fields


def browse(url, code=None):
    """Goes on from page to page; gives the last page's address, status and text."""
    session = opener()
    request = urllib.request.Request(url)
    for _ in range(PAGES_MAX):
        try:
            answer = session.open(request, timeout=20)
        except urllib.error.HTTPError as e:
            answer = e
        here, status = request.full_url, answer.status
        text = answer.read(1 << 20).decode("utf-8", "replace")
        if status in (301, 302, 303, 307, 308):
            request = urllib.request.Request(urllib.parse.urljoin(here, answer.headers["Location"]))
            continue
        forms = Forms()
        forms.feed(text)
        if not forms.forms or status >= 400:
            return here, status, text
        form = next((f for f in forms.forms if set(f["kinds"]) & {"user_code", "password", "login"}), forms.forms[0])
        target = urllib.parse.urljoin(here, form["action"] or here)
        parts = urllib.parse.urlsplit(target)
        request = urllib.request.Request(
            target,
            data=urllib.parse.urlencode(filled(form, code)).encode(),
            headers={"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin", "Referer": here},
        )
    raise SystemExit("the pages do not end")


if __name__ == "__main__":
    last, status, text = browse(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    log = os.environ.get("LOGIN_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as out:
            out.write(f"{status} {last.split('?')[0]}\n")
    sys.exit(0 if status < 400 else 1)
