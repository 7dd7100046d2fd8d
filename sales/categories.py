"""The categories of sales."""

from django.db import models


class Category(models.TextChoices):
    """The categories. Clients send the values; the labels are the same."""

    CLOTHING = "clothing", "clothing"
    SHOES = "shoes", "shoes"
    ACCESSORIES = "accessories", "accessories"
    JEWELLERY = "jewellery", "jewellery"
    BAGS = "bags", "bags"
    DESIGN_AND_DECORATION = "design & decoration", "design & decoration"
    BOYS = "boys", "boys"
    GIRLS = "girls", "girls"
    SPORT_AND_LEISURE = "sport & leisure", "sport & leisure"
    HIGH_TECH = "high-tech", "high-tech"
    ART_AND_CULTURE = "art & culture", "art & culture"
    PET_ACCESSORIES = "pet accessories", "pet accessories"
