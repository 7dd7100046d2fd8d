"""Register the admin pages of reports and their runs, and the admin's home page."""

from django.contrib import admin

from analytics.backoffice.reports import ReportAdmin
from analytics.backoffice.runs import ReportRunAdmin
from analytics.models import Report, ReportRun

admin.site.register(Report, ReportAdmin)
admin.site.register(ReportRun, ReportRunAdmin)
admin.site.index_template = "admin/analytics/home.html"  # its context is from analytics.backoffice.home
