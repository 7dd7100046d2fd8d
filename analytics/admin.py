"""The back office's pages: the first one, of reports, and of the log of their runs."""

from django.contrib import admin

from analytics.backoffice.reports import ReportAdmin
from analytics.backoffice.runs import ReportRunAdmin
from analytics.models import Report, ReportRun

admin.site.register(Report, ReportAdmin)
admin.site.register(ReportRun, ReportRunAdmin)
admin.site.index_template = "admin/analytics/home.html"  # of what `analytics.backoffice.home` puts together
