"""Staff and what they may do, as tests need them."""

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
    """A client logged in as a new member of staff, of this group or with these permissions; `client.user` is them."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    if group:
        user.groups.add(Group.objects.get(name=group))
    allow(user, *permissions)
    client = Client()
    client.user = user
    client.force_login(user)
    return client


def allow(user, *permissions):
    """Give somebody permissions such as "sales.view_sale"."""
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))


def log_in(client, name="jo", password=PASSWORD, **fields):
    return client.post(f"{LOG_IN}?next=/admin/", {"username": name, "password": password, **fields})


def is_in(client):
    """Whether this client gets into the back office."""
    return client.get("/admin/").status_code == 200


def enrol(user):
    """Give somebody a second factor."""
    return TOTPDevice.objects.create(user=user, name="Phone")


def code_of(device, steps=0):
    """What the phone shows, now or some steps of half a minute later."""
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = time.time() + steps * device.step
    return f"{totp.token():06d}"


def text_of(response):
    if response.streaming:
        return ""
    return response.content.decode(errors="replace")


def links_of(address, page):
    """The addresses of our own pages that a page at this address leads to, without fragments."""
    found = (urljoin(address, unescape(link)) for link in re.findall(r'\b(?:href|hx-get|data-result)="([^"]*)"', page))
    return [link.partition("#")[0] for link in found if not urlsplit(link).netloc and link.startswith("/")]
