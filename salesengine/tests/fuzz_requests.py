"""Random requests for every URL, method, header, form and query parameter. The same seed makes the same requests.

URLs come from the URLconf and from the links on the pages; query parameters from these links, from the lookups of every
model and from the API's endpoints; form fields from the forms on the pages.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import chain
from random import Random
from typing import Any
from urllib.parse import parse_qsl, quote, quote_from_bytes, urlencode, urljoin, urlsplit

from django.contrib import admin
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver

from sales.ingest.schema import EXAMPLE
from salesengine.tests.fuzz_callers import ANONYMOUS, CSRF_TOKEN, GROUPS, KEYS, STAFF, SUPERUSER, WITHOUT_GROUP

WRITING = ("/ingest", "/corrections")
METHODS = ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "get", "PROPFIND")
TEXTS = (
    *("", "0", "1", "-1", "2", "99999999999999999999", "1e400", "NaN", "Infinity", "-0.0", "0x10", "1_000", "٣", "²"),
    *("true", "None", "null", "on", "a", "%", "_", "\\", "'", '"', "`", ";--", "' OR 1=1 --", "{{7*7}}", "%s", "%(x)s"),
    *("<script>alert(1)</script>", "../../etc/passwd", "//elsewhere.example", "\x00", "\r\nX: y", "\t", "\u202e", "é"),
    *("2021-01-07", "2021-02-30", "0000-00-00", "9999-12-31", "10000-01-01", "0001-01-01T00:00:00-23:59", "today"),
    *("2021-01-07T08:00:00Z", "first day of last month", "yesterday", "bags", "sport & leisure", "170", "9000042"),
    *("(", "[", "(a+)+$", "*", "?", "a,b", ",", "1,2", "[]", "{}", "[1]", "__all__", "__proto__", "😀", "\ufffe", "ß"),
    *("x" * 300, "9" * 5_000, "é" * 2_000, "csv", "json", "xlsx", "parquet", "table", "pk", "id", "-id", "asc", "1.0"),
)
BYTES = (b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\x80", b"%", b"%zz", b"%u1234")  # not UTF-8
HEADERS = {
    "Accept": (
        *("*/*", "text/html", "application/json", "text/csv", "image/png", "", "a", "text/*;q=nan", ";;;", "*/*;q=-1"),
        *("application/vnd.apache.parquet", "text/html,application/json;q=0.9", ",".join(["a/b"] * 500)),
    ),
    "Accept-Encoding": ("gzip", "br", "identity;q=0", "*", "gzip;q=x"),
    "Accept-Language": ("de", "xx", "*", "a" * 500),
    "Authorization": (
        "Api-Key",
        "Api-Key a.b",
        "Api-Key \xff.\xff",
        "Basic YTpi",
        "Basic",
        "Bearer x",
        "Api-Key " * 50,
    ),
    "Content-Encoding": ("gzip", "identity", "br", "gzip, gzip", "zstd", ""),
    "Content-Type": (
        *("application/json", "application/x-ndjson", "application/x-www-form-urlencoded", "text/plain", "", "a/b/c"),
        *("multipart/form-data", "multipart/form-data; boundary=\xff", "multipart/form-data; boundary=x", "*/*"),
        *("application/json; charset=utf-16", "application/json; charset=nonsense", "application/x-ndjson;;=;"),
    ),
    "Cookie": (
        *("sessionid=x", "sessionid=\xff", 'sessionid="\\000aaaaaaaaaa"', f"sessionid={'z' * 32}", "messages=x"),
        *('messages="\\000"', "csrftoken=", 'csrftoken="\\000"', "=;=;", "a=" + "b" * 2_000),
    ),
    "Forwarded": ("for=1",),
    "Host": ("localhost", "elsewhere.example", "localhost:99999", "[::1]", "\xff", "", "127.0.0.1:x"),
    "HX-Request": ("true",),
    "Idempotency-Key": ("a", "", "a" * 300, "\xff", "a b"),
    "If-Match": ("*", '"a"'),
    "If-Modified-Since": ("x", "Thu, 01 Jan 1970 00:00:00 GMT", "Sun, 99 Jan 9999 99:99:99 GMT"),
    "If-None-Match": ("*", '"a"', 'W/"a", "b"', "a", '"\xff"'),
    "Origin": ("null", "https://elsewhere.example", "\xff"),
    "Range": ("bytes=0-1", "bytes=9-1", "bytes=-", "x"),
    "Referer": ("https://elsewhere.example/", "x", "http://[", "\xff"),
    "X-CSRFToken": ("x", "\xff", "f" * 64),
    "X-Forwarded-For": ("1.2.3.4", "x", ",,,", "[::1]:80", "1.2.3.4, " * 50),
    "X-Forwarded-Host": ("elsewhere.example",),
    "X-Forwarded-Proto": ("https", "x"),
    "X-HTTP-Method-Override": ("DELETE",),
    "X-Request-ID": ("a", "\xff", "a" * 100, "{{x}}"),
    "X-Requested-With": ("XMLHttpRequest",),
}
LIST_PARAMETERS = (
    *("q", "o", "p", "e", "all", "totals", "next", "_facets", "_popup", "_to_field", "_changelist_filters"),
    *("action", "s", "extended", "term", "app_label", "model_name", "field_name", "run", "page", "object_id"),
)


@dataclass(frozen=True)
class FuzzRequest:
    method: str
    target: str
    headers: dict[str, bytes]
    body: bytes
    caller: str  # one of those in fuzz_callers.py


@dataclass
class Page:
    """The parts of a page that lead to other requests: its links, and the fields of its forms with their values."""

    links: list[str] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class PageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.page.links += [
            attributes[name] for name in ("href", "action", "hx-get", "data-result") if name in attributes
        ]
        name = attributes.get("name", "")
        if tag == "select":
            self.select = name
        if tag in ("input", "select", "textarea", "button") and name:
            self.page.fields[name] += [attributes["value"]] if "value" in attributes else []
        if tag == "option" and self.select:
            self.page.fields[self.select].append(attributes.get("value", ""))


def read_page(text: str) -> Page:
    parser = PageParser()
    parser.feed(text)
    return parser.page


def own_links(url: str, page: Page) -> set[str]:
    """Return the links of a page at `url` to our own pages, without fragments."""
    links = (urljoin(url, link).partition("#")[0] for link in page.links)
    return {link for link in links if link.startswith("/") and not link.startswith("/static/")}


def url_patterns(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """Yield the path of each URL pattern, with its parameters in angle brackets, such as /reports/<str:name>."""
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", path).replace("^", "").replace("$", "")
        else:
            yield from url_patterns(pattern, path)


def model_lookups(model: type[Model], depth: int = 2) -> Iterator[str]:
    """Yield every lookup of every field, also of related models, such as category__exact."""
    for column in model._meta.get_fields():
        related = column.related_model if column.is_relation else None
        if isinstance(related, type) and depth > 1:
            yield from (f"{column.name}__{lookup}" for lookup in model_lookups(related, depth - 1))
        yield column.name
        if not column.auto_created or column.concrete:
            lookups = getattr(column, "get_lookups", dict)()
            yield from (f"{column.name}__{lookup}" for lookup in (*lookups, "isnull__exact", "from", "to", "nonsense"))


class RequestMaker:
    """Make random requests from what `pages` link to, each page by its URL, and from the OpenAPI document."""

    def __init__(self, pages: dict[str, Page], document: dict[str, Any]) -> None:
        self.patterns = sorted(f"/{path}" for path in url_patterns(get_resolver()))
        self.urls = sorted({urlsplit(url).path for url in pages})
        self.forms = {urlsplit(url).path: page.fields for url, page in sorted(pages.items()) if page.fields}
        queries = [parse_qsl(urlsplit(url).query, keep_blank_values=True) for url in sorted(pages)]
        self.values: dict[str, list[str]] = defaultdict(list)
        for name, value in (pair for query in queries for pair in query):
            self.values[name].append(value)
        for fields in self.forms.values():
            for name, values in fields.items():
                self.values[name] += values[:20]
        self.parameters = {path: self._parameters(operations) for path, operations in document["paths"].items()}
        self.api = [
            *self.parameters,
            *WRITING,
            "/feedback",
            "/sales",
            "/changes",
            "/docs/problems",
            "/",
            "/healthz",
            "/readyz",
        ]
        self.names = sorted({*self.values, *LIST_PARAMETERS, *chain(*self.parameters.values())})
        self.lists = {
            f"/admin/{model._meta.app_label}/{model._meta.model_name}/": sorted(set(model_lookups(model)))
            for model in admin.site._registry
        }
        self.parts = sorted({part for url in self.urls for part in url.split("/") if part})

    def _parameters(self, operations: dict[str, Any]) -> list[str]:
        """Return the names of the query parameters of a path, and keep their values."""
        found = [each for each in next(iter(operations.values())).get("parameters", ()) if each["in"] == "query"]
        for each in found:
            schema = each["schema"]
            self.values[each["name"]] += [str(value) for value in (*schema.get("enum", ()), schema.get("default", ""))]
        return [each["name"] for each in found]

    def request(self, random: Random) -> FuzzRequest:
        path = self._path(random)
        method = "GET" if random.random() < 0.7 else "POST" if random.random() < 0.6 else random.choice(METHODS)
        if path in WRITING and random.random() < 0.9:
            method = "POST"
        target = path + self._query(random, path)
        headers = {
            name: self._header(random, name) for name in random.sample(sorted(HEADERS), random.choice((0, 0, 1, 2, 5)))
        }
        if random.random() < 0.6:  # the page of an error takes ten times as long
            headers = {"Accept": b"application/json"} | headers
        body = b""
        if method not in ("GET", "HEAD", "OPTIONS") or random.random() < 0.02:
            body, content_type = self._body(random, path)
            headers = {"Content-Type": content_type.encode(), "X-CSRFToken": CSRF_TOKEN.encode()} | headers
        return FuzzRequest(method, target, headers, body, self._caller(random, path))

    def _caller(self, random: Random, path: str) -> str:
        if random.random() < 0.1:
            return ANONYMOUS
        if path.startswith("/admin/") and random.random() < 0.95:
            return random.choice((*(SUPERUSER,) * 4, WITHOUT_GROUP, *GROUPS))
        return random.choice((*KEYS, *KEYS, *STAFF))

    def _path(self, random: Random) -> str:
        chance = random.random()
        if chance < 0.55:
            return random.choice(self.api).replace("{id_order}", self._segment(random))
        if chance < 0.60:
            return random.choice(sorted(self.lists))
        if chance < 0.66:
            return random.choice(self.urls)
        if chance < 0.69:
            return random.choice(sorted(self.forms))
        path = re.sub(r"<[^>]*>", lambda _: self._segment(random), random.choice(self.patterns))
        if random.random() < 0.1:
            position = random.randrange(len(path))
            path = f"{path[:position]}{quote(random.choice(TEXTS)[:100])}{path[position:]}"
        return path if path.startswith("/") else f"/{path}"

    def _segment(self, random: Random) -> str:
        if random.random() < 0.5:
            return random.choice(self.parts)
        return quote_from_bytes(self._bytes(random), safe="/" if random.random() < 0.3 else "")

    def _bytes(self, random: Random) -> bytes:
        return random.choice(BYTES) if random.random() < 0.05 else random.choice(TEXTS).encode()

    def _query(self, random: Random, path: str) -> str:
        names = self.lists.get(path) or self.parameters.get(path) or self.names
        pairs = []
        for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
            name = random.choice(names if random.random() < 0.9 else self.names)
            if random.random() < 0.03:
                name = random.choice(TEXTS)
            pairs.append((name.encode(), self._value(random, name)))
        return f"?{urlencode(pairs)}" if pairs else ""

    def _value(self, random: Random, name: str) -> bytes:
        known = self.values.get(name)
        return random.choice(known).encode() if known and random.random() < 0.5 else self._bytes(random)

    def _header(self, random: Random, name: str) -> bytes:
        return random.choice(HEADERS[name]).encode("latin-1")

    def _body(self, random: Random, path: str) -> tuple[bytes, str]:
        fields = self.forms.get(path)
        if fields is None and (path in WRITING or random.random() < 0.2):
            return self._events(random, path), random.choice(
                ("application/json", "application/json", "application/x-ndjson")
            )
        known = sorted(fields or self.values)
        names = known if fields and random.random() < 0.6 else random.choices(known, k=random.randrange(1, 8))
        pairs = [(name.encode(), self._value(random, name)) for name in names]
        if random.random() < 0.3:
            return _multipart(pairs, random), "multipart/form-data; boundary=fuzz"
        return urlencode(pairs).encode(), "application/x-www-form-urlencoded"

    def _events(self, random: Random, path: str) -> bytes:
        new = self._correction if path == "/corrections" else self._event
        events = [new(random) for _ in range(random.choice((0, 1, 1, 1, 2, 5)))]
        if random.random() < 0.3:
            return b"\n".join(json.dumps(event).encode() for event in events)
        text = json.dumps(events[0] if len(events) == 1 else events).encode()
        if random.random() < 0.2:
            position = random.randrange(len(text))
            text = text[:position] + self._bytes(random) + text[position + random.randrange(3) :]
        return text

    def _event(self, random: Random) -> object:
        if random.random() < 0.05:
            return random.choice((None, 1, "a", [], [[]], {}, True, 1e308))
        event: dict[str, object] = dict(EXAMPLE)
        for name in random.sample([*EXAMPLE, "EVENT_ID", "other"], random.choice((0, 1, 1, 2, 4))):
            event[name] = random.choice((*TEXTS, None, 1, -1.5, True, 10**400, [], {}, [1], {"a": 1}, "\ud800"))
        return event

    def _correction(self, random: Random) -> object:
        correction: dict[str, object] = {"ID": random.randrange(1, 1_000), "action": "void", "reason": "a"}
        if random.random() < 0.5:
            correction |= {"action": "replace", "sale": self._event(random)}
        for name in random.sample(["ID", "EVENT_ID", "action", "reason", "sale", "other"], random.choice((0, 0, 1, 2))):
            correction[name] = random.choice((*TEXTS, None, 1, -1.5, True, 10**400, [], {}, [1], {"a": 1}, "\ud800"))
        return correction


def _multipart(pairs: Iterable[tuple[bytes, bytes]], random: Random) -> bytes:
    """Encode fields as multipart/form-data, some of them as files."""
    parts = b""
    for name, value in pairs:
        file = b'; filename="a.csv"' if random.random() < 0.3 else b""
        disposition = b'Content-Disposition: form-data; name="%s"%s' % (name, file)
        parts += b"--fuzz\r\n%s\r\n\r\n%s\r\n" % (disposition, value)
    return parts + (b"--fuzz--\r\n" if random.random() < 0.9 else b"")
