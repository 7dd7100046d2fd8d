"""The steps of one scenario. Each yields its name, and what the service answered."""

import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from pyarrow.parquet import read_table

from salesengine.tests.cluster.installations import Installation
from salesengine.tests.servers import PASSWORD

Answer = tuple[str, bytes]

# What differs between two runs on the same database: random texts, estimates, and times after those of all payments.
VARYING = [
    (rb'name="csrfmiddlewaretoken" value="[^"]*"', b""),
    (rb"\b[0-9a-f]{32}\b", b"..."),
    (rb"\b20(2[2-9]|[3-9]\d)-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?", b"..."),
    (rb"<strong>about [\d,]+</strong>", b"<strong>about ...</strong>"),
    (rb"Events since \d\d:\d\d", b"Events since ..."),
    (rb"http://127\.0\.0\.1:\d+", b""),
]
CATEGORIES = ("clothing", "shoes", "bags", "high-tech", None)
BRANDS = ("Vela", "Orn", None)


def event(number: int, **changes: Any) -> dict[str, Any]:
    """Return the sale event with this number."""
    members = {
        "ID_ORDER": f"o-{number // 2}",
        "ID_PRODUCT": f"p-{number % 7}",
        "ID_BUYER": f"b-{number % 11}",
        "ID_SELLER": f"s-{number % 5}",
        "ID_SELLER_COUNTRY": ("203", "170", "999")[number % 3],
        "ID_BUYER_COUNTRY": ("170", "203")[number % 2],
        "DATE_PAYMENT": f"2021-{1 + number % 9:02}-{1 + number % 28:02}T{number % 24:02}:30:00Z",
        "BRAND": BRANDS[number % 3],
        "CATEGORY": CATEGORIES[number % 5],
        "REVENUE": f"{number * 7 % 1000}.{number:05}",
    }
    return members | changes


def events(start: int, count: int, event_ids: bool = False) -> list[dict[str, Any]]:
    return [
        event(number, **({"EVENT_ID": f"e-{number}"} if event_ids else {})) for number in range(start, start + count)
    ]


def lines(values: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


class Service:
    """A client of the API and, after `log_in`, of the back office."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def log_in(self) -> None:
        page = "/admin/login/"
        self.client.get(page)
        form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": self._cookie("csrftoken")}
        response = self.client.post(page, data=form, headers=self._cookies())
        assert response.status_code == 302, response.text
        self.client.headers.update(self._cookies())

    def get(self, path: str) -> Answer:
        return f"GET {path}", answer(self.client.get(path))

    def post(self, label: str, body: Any, path: str = "/ingest", **headers: str) -> Answer:
        text = body if isinstance(body, str) else json.dumps(body)
        media_type = "application/x-ndjson" if isinstance(body, str) else "application/json"
        response = self.client.post(path, content=text, headers={"Content-Type": media_type} | headers)
        return f"POST {path}: {label}", answer(response)

    def pages(self, path: str) -> Iterator[Answer]:
        """Yield a page and all that follow it, through the members `next` and `has_more`."""
        following: str | None = path
        while following:
            response = self.client.get(following)
            yield f"GET {following.removeprefix(str(self.client.base_url))}", answer(response)
            page = response.json()
            following = page["next"] if "has_more" not in page else None
            if page.get("has_more"):
                following = re.sub(r"after=\d+", f"after={page['next']}", path)

    def _cookie(self, name: str) -> str:
        return next(cookie.value or "" for cookie in self.client.cookies.jar if cookie.name == name)

    def _cookies(self) -> dict[str, str]:
        """Return the cookies as a header. The client would keep those that require TLS to itself."""
        return {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies.jar)}


def answer(response: httpx.Response) -> bytes:
    """Return the status and the body, without what differs between two runs."""
    body = response.content
    if response.headers.get("Content-Type", "").endswith("parquet"):
        table = read_table(BytesIO(body))
        if "received_at" in table.column_names:
            body = str(table.drop_columns(["received_at"]).to_pylist()).encode()
    else:
        for pattern, replacement in VARYING:
            body = re.sub(pattern, replacement, body)
    return f"{response.status_code} {response.headers.get('Content-Type')}\n".encode() + body


def run(installation: Installation, url: str, folder: Path) -> Iterator[Answer]:
    with httpx.Client(base_url=url, timeout=60) as client:
        service = Service(client)
        yield from ingest(service)
        yield from correct(service)
        yield from import_files(installation, folder)
        yield from read(service)
        yield from browse(service)
        yield from reports(service)
    yield "verify_feedback", installation.manage("verify_feedback").encode()


def ingest(service: Service) -> Iterator[Answer]:
    for number in range(3):
        yield service.post(f"single {number}", event(number))
    yield service.post("invalid", event(3, REVENUE="much"))
    yield service.post("few", events(4, 5))
    yield service.post("many", events(20, 300))
    yield service.post("lines", lines(events(400, 250)))
    broken = lines(events(700, 3)) + '{"ID_ORDER": "5"\n'
    yield service.post("invalid lines kept", broken, "/ingest?on_error=skip")
    yield service.post("dry run", events(800, 3), "/ingest?dry_run=true")
    for again in ("", " again"):
        yield service.post(f"single EVENT_ID{again}", event(1000, EVENT_ID="e-1000"))
        yield service.post(f"few EVENT_IDs{again}", events(1001, 9, event_ids=True))
        yield service.post(f"many EVENT_IDs{again}", events(1005, 400, event_ids=True))
    yield service.post("EVENT_ID with other content", event(1, EVENT_ID="e-1000"))
    mixed = [*events(1390, 30, event_ids=True), event(2, EVENT_ID="e-1001")]
    yield service.post("new, known and other content", mixed, "/ingest?on_error=skip")
    yield service.post("new and other content", mixed)
    for again in ("", " again"):
        yield service.post(f"key{again}", events(2000, 4), **{"Idempotency-Key": "key-1"})
        yield service.post(f"key of one event{again}", event(2010), **{"Idempotency-Key": "key-2"})
    yield service.post("key with another body", events(2000, 5), **{"Idempotency-Key": "key-1"})


def correct(service: Service) -> Iterator[Answer]:
    """Void and replace sales, of the demo and of this scenario."""

    def post(label: str, *corrections: dict[str, Any], **headers: str) -> Answer:
        body = corrections[0] if len(corrections) == 1 else list(corrections)
        return service.post(label, body, "/corrections", **headers)

    void = {"action": "void", "reason": "test order"}
    replacement = {"action": "replace", "reason": "wrong price", "sale": event(1002, REVENUE=5)}
    yield post("void", {"ID": 100} | void)
    yield post("void again", {"ID": 100} | void)
    yield post("void unknown", {"ID": 10_000_000} | void)
    yield post("void many", *({"ID": number} | void for number in range(200, 260)))
    yield post("replace", {"EVENT_ID": "e-1002"} | replacement)
    yield post("replace again", {"EVENT_ID": "e-1002"} | replacement)
    yield post("replace the replacement", {"EVENT_ID": "e-1002"} | replacement | {"sale": event(1002, REVENUE=6)})
    mixed = ({"EVENT_ID": "e-1003"} | void, {"EVENT_ID": "e-1004"} | replacement | {"sale": event(1004, REVENUE=7)})
    for again in ("", " again"):
        yield post(f"void and replace with a key{again}", *mixed, **{"Idempotency-Key": "key-3"})
    yield service.post("EVENT_ID of a voided sale", event(1003, EVENT_ID="e-1003"))
    yield service.post("EVENT_ID of a replaced sale", event(1002, EVENT_ID="e-1002", REVENUE=6))


def import_files(installation: Installation, folder: Path) -> Iterator[Answer]:
    ndjson, csv = folder / "sales.ndjson", folder / "sales.csv"
    ndjson.write_text(lines(events(3000, 7_000) + events(1000, 10, event_ids=True)))
    rows = events(11_000, 500)
    names = list(rows[0])
    table = [",".join(names), *(",".join(str(row[name] or "") for name in names) for row in rows)]
    csv.write_text("\n".join(table) + "\n")
    for file in (ndjson, csv, csv):
        output = installation.manage("import_sales", str(file)).replace(str(folder), "")
        yield f"import_sales {file.name}", re.sub(r"\d+\.\d+ s.*", "...", output).encode()


def read(service: Service) -> Iterator[Answer]:
    for query in (
        "",
        "?category=bags",
        "?start_date=2021-02-01&end_date=2021-03-31",
        "?start_date=2021-02-01T12:00:00&end_date=2021-03-31T06:00:00Z",
        "?category=shoes&start_date=2021-06-30T12:00:00Z",
    ):
        yield service.get(f"/feedback{query}")
    yield from service.pages("/changes?after=0&limit=10000")
    yield service.get("/changes?after=20100&limit=700&format=ndjson")
    yield from service.pages("/sales?limit=1000&start_date=2021-05-01&end_date=2021-06-30")
    yield from service.pages("/sales?limit=50&id_buyer=b-3&end_date=2021-06-30")
    for query in (
        "category=",
        "brand=Vela",
        "id_seller=s-1",
        "id_product=p-3",
        "id_buyer_country=203",
        "id_order=o-10",
    ):
        yield service.get(f"/sales?limit=100&{query}")
    yield service.get("/sales/o-10")
    yield service.get("/sales/none")


def browse(service: Service) -> Iterator[Answer]:
    service.log_in()
    sales = "/admin/sales/sale/"
    for path in (
        sales,
        f"{sales}?p=3",
        f"{sales}?category__exact=bags",
        f"{sales}?brand__exact=Vela&seller_country__exact=203",
        f"{sales}?date_payment_from=2021-05-01&date_payment_to=2021-05-31&revenue_from=100",
        f"{sales}?buyer_continent=Europe&totals=1",  # without, how fast the page is decides what it shows
        f"{sales}?q=o-10",
        f"{sales}?q=b-3",
        f"{sales}100/change/",
        f"{sales}20000/change/",
        f"{sales}20001/change/",  # which says who sent it
        f"{sales}brands/?term=ve",
        "/admin/sales/voidedsale/",
        "/admin/sales/rejectedevent/",
        "/admin/sales/buyer/b-3/",
        "/admin/sales/seller/s-1/",
        "/admin/countries/country/",
        "/admin/analytics/report/top_brands/result/",
        "/admin/",
    ):
        yield service.get(path)


def reports(service: Service) -> Iterator[Answer]:
    names = [report["name"] for report in service.client.get("/reports").json()]
    assert len(names) > 10
    for name in names:
        for export_format in ("json", "csv", "parquet"):
            yield service.get(f"/reports/{name}?format={export_format}")
    yield service.get("/reports/sales?limit=20")
    yield service.get("/reports/top_brands?start=2021-02-01&end=2021-03-15")
    yield service.get("/reports/largest_buyers?start=2021-02-01&end=2021-02-28")
