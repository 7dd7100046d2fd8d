"""An ingest endpoint for comparison, built with DRF alone: a ModelSerializer and bulk_create."""

from typing import Any

from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sales.categories import Category
from sales.models import Sale
from salesengine.accounts.models import Scope


class SaleListSerializer(serializers.ListSerializer):
    def create(self, validated_data: list[dict[str, Any]]) -> list[Sale]:
        return Sale.objects.bulk_create([Sale(**event) for event in validated_data])


class SaleSerializer(serializers.ModelSerializer):
    ID_ORDER = serializers.CharField(source="id_order", max_length=64)
    ID_PRODUCT = serializers.CharField(source="id_product", max_length=64)
    ID_BUYER = serializers.CharField(source="id_buyer", max_length=64)
    ID_SELLER = serializers.CharField(source="id_seller", max_length=64)
    ID_SELLER_COUNTRY = serializers.CharField(source="seller_country_id", max_length=64)  # unknown ones are accepted
    ID_BUYER_COUNTRY = serializers.CharField(source="buyer_country_id", max_length=64)
    DATE_PAYMENT = serializers.DateTimeField(source="date_payment")
    BRAND = serializers.CharField(source="brand", max_length=256, allow_null=True, required=False)
    CATEGORY = serializers.ChoiceField(Category.choices, source="category", allow_null=True, required=False)
    REVENUE = serializers.DecimalField(source="revenue", max_digits=35, decimal_places=20)

    class Meta:
        model = Sale
        list_serializer_class = SaleListSerializer
        fields = (
            *("ID_ORDER", "ID_PRODUCT", "ID_BUYER", "ID_SELLER", "ID_SELLER_COUNTRY", "ID_BUYER_COUNTRY"),
            *("DATE_PAYMENT", "BRAND", "CATEGORY", "REVENUE"),
        )


class DRFView(APIView):
    """Validate and store a list of events, without updating the feedback."""

    parser_classes = [JSONParser]
    scope = Scope.INGEST

    def post(self, request: Request) -> Response:
        serializer = SaleSerializer(data=request.data, many=True)
        serializer.is_valid(raise_exception=True)
        return Response({"accepted": len(serializer.save())}, status=201)
