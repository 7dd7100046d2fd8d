"""Register the admin pages of this app. They are defined in `sales.backoffice`."""

from django.contrib import admin

from countries.models import Country
from sales.backoffice.countries import CountryWithSalesAdmin
from sales.backoffice.rejected_events import RejectedEventAdmin
from sales.backoffice.sales import SaleAdmin, VoidedSaleAdmin
from sales.models import RejectedEvent, Sale, VoidedSale

admin.site.register(Sale, SaleAdmin)
admin.site.register(VoidedSale, VoidedSaleAdmin)
admin.site.register(RejectedEvent, RejectedEventAdmin)
admin.site.unregister(Country)  # its list in this app also has the sales of each country
admin.site.register(Country, CountryWithSalesAdmin)
