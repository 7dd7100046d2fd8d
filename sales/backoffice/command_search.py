"""What the back office's search box finds of sales: whole ids, and countries by id or a part of their name.

unfold remembers what it found for five minutes, for each user and text: what somebody may no longer see is still listed
until then, and cannot be opened. That nothing was found is not remembered, so an order that has just come in is found.
"""

from collections.abc import Iterator

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from countries.models import Country
from sales.backoffice.links import sales_address, trader_address
from sales.models import Sale

MOST_COUNTRIES = 10


def find(request: HttpRequest) -> list[SearchResult]:
    """What may be seen by whom has typed the parameter `s`, as it was typed: ids have capital and small letters."""
    text = request.GET.get("s", "").strip()
    if not text or "\0" in text:
        return []
    found: list[SearchResult] = []
    if request.user.has_perm("sales.view_sale"):
        found += _ids(text)
    if request.user.has_perm("countries.view_country"):
        found += _countries(text)
    return found


def _ids(text: str) -> Iterator[SearchResult]:
    kinds = (
        ("Order", "id_order", "receipt_long", sales_address({"id_order": text})),
        ("Product", "id_product", "sell", sales_address({"id_product": text})),
        ("Buyer", "id_buyer", "person", trader_address("buyer", text)),
        ("Seller", "id_seller", "storefront", trader_address("seller", text)),
    )
    for kind, field, icon, address in kinds:
        if Sale.objects.filter(**{field: text}).exists():
            yield SearchResult(title=f"{kind} {text}", description="Sales", link=address, icon=icon)


def _countries(text: str) -> Iterator[SearchResult]:
    for country in Country.objects.filter(Q(pk=text) | Q(country_name__icontains=text))[:MOST_COUNTRIES]:
        address = reverse("admin:countries_country_change", args=[country.pk])
        yield SearchResult(title=country.country_name, description=f"Country {country.pk}", link=address, icon="public")
