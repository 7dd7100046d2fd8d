"""Search sales and countries from the back office's search box."""

from collections.abc import Iterator

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from countries.models import Country
from sales.backoffice.links import sales_url, trader_url, voided_url
from sales.backoffice.sale_search import SALE_ID
from sales.models import Sale, SoldItem, VoidedSale

COUNTRY_LIMIT = 10


def search(request: HttpRequest) -> list[SearchResult]:
    """Return the pages that match the query parameter `s` and that the user may view.

    Ids match as a whole and in the same case. Countries also match by a part of their name.
    """
    text = request.GET.get("s", "").strip()
    if not text or "\0" in text:
        return []
    results: list[SearchResult] = []
    if request.user.has_perm("sales.view_sale"):
        results += _find_ids(text)
    if request.user.has_perm("countries.view_country"):
        results += _find_countries(text)
    return results


def _find_ids(text: str) -> Iterator[SearchResult]:
    kinds: list[tuple[str, type[SoldItem], str, str, str]] = [
        ("Order", Sale, "id_order", "receipt_long", sales_url({"id_order": text})),
        ("Product", Sale, "id_product", "sell", sales_url({"id_product": text})),
        ("Buyer", Sale, "id_buyer", "person", trader_url("buyer", text)),
        ("Seller", Sale, "id_seller", "storefront", trader_url("seller", text)),
        ("Order", VoidedSale, "id_order", "receipt_long", voided_url(text)),
    ]
    if SALE_ID.fullmatch(text):
        kinds += [
            ("Sale", Sale, "pk", "receipt", reverse("admin:sales_sale_change", args=[text])),
            ("Sale", VoidedSale, "pk", "receipt", reverse("admin:sales_voidedsale_change", args=[text])),
        ]
    for kind, model, field, icon, url in kinds:
        if model._default_manager.filter(**{field: text}).exists():
            description = capfirst(model._meta.verbose_name_plural)
            yield SearchResult(title=f"{kind} {text}", description=description, link=url, icon=icon)


def _find_countries(text: str) -> Iterator[SearchResult]:
    for country in Country.objects.filter(Q(pk=text) | Q(country_name__icontains=text))[:COUNTRY_LIMIT]:
        url = reverse("admin:countries_country_change", args=[country.pk])
        yield SearchResult(title=country.country_name, description=f"Country {country.pk}", link=url, icon="public")
