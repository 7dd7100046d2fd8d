"""Clients of the API and of the back office, shared by all tests."""

import json
import re
import time
from html import unescape
from urllib.parse import urljoin, urlsplit

from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

PASSWORD = "correct horse battery"
LOG_IN = "/admin/login/"


def staff_client(*permissions, group=None, name="jo"):
    """Return a client that is logged in as a new staff user with this group and these permissions: `client.user`."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    if group:
        user.groups.add(Group.objects.get(name=group))
    allow(user, *permissions)
    client = Client()
    client.user = user
    client.force_login(user)
    return client


def allow(user, *permissions):
    """Give a user, or the user of a client, permissions such as "sales.view_sale" or "view_sale"."""
    user = getattr(user, "user", user)
    for permission in permissions:
        app, _, codename = permission.rpartition(".")
        matches = Permission.objects.filter(codename=codename, **({"content_type__app_label": app} if app else {}))
        assert matches, permission
        user.user_permissions.add(*matches)


def post(api, body, content_type="application/json", query="", **headers):
    """Send a body to POST /ingest: bytes and text unchanged, anything else as JSON."""
    text = body if isinstance(body, bytes | str) else json.dumps(body)
    return api.generic("POST", f"/ingest{query}", text, content_type=content_type, headers=headers)


def problem_of(response, status, slug):
    """Return the problem in an error response, which must have this status and type."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["type"]) == (status, f"/docs/problems#{slug}")
    return problem


def log_in(client, name="jo", password=PASSWORD, code=None):
    """Send the password, then the code if there is one. Returns the last response."""
    response = client.post(f"{LOG_IN}?next=/admin/", {"username": name, "password": password})
    return response if code is None else client.post(f"{LOG_IN}?next=/admin/", {"otp_token": code})


def is_in(client):
    """Return whether this client has access to the back office."""
    return client.get("/admin/").status_code == 200


def enrol(user):
    """Give a user a second factor."""
    return TOTPDevice.objects.create(user=user, name="Phone")


def code_of(device, steps=0):
    """Return the code that an authenticator app shows, now or `steps` half minutes later."""
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = time.time() + steps * device.step
    return f"{totp.token():06d}"


def text_of(response):
    """Return the page of a response, or "" for a stream."""
    return "" if response.streaming else response.content.decode(errors="replace")


def links_of(url, page):
    """Return the URLs of our own pages that a page at `url` links to, without fragments."""
    links = (urljoin(url, unescape(link)) for link in re.findall(r'\b(?:href|hx-get|data-result)="([^"]*)"', page))
    return [link.partition("#")[0] for link in links if not urlsplit(link).netloc and link.startswith("/")]


def responses_of(document, operation):
    """Return the responses of an operation in an OpenAPI document, by status, without references."""
    shared = document["components"]["responses"]
    return {status: shared[each["$ref"].rpartition("/")[2]] for status, each in operation["responses"].items()}


def rows_of(page):
    """Return the texts of the first table's cells, row by row."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page.partition("<tbody")[2].partition("</tbody>")[0], re.DOTALL)
    return [[plain(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]


def plain(text):
    return unescape(re.sub(r"<[^>]*>", "", text)).strip()
