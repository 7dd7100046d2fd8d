"""The back office's pages: the first one, of reports, and of the log of their runs."""

from django.contrib import admin

from analytics.models import Report, ReportRun
from analytics.report_admin import ReportAdmin
from analytics.run_admin import ReportRunAdmin

admin.site.register(Report, ReportAdmin)
admin.site.register(ReportRun, ReportRunAdmin)
admin.site.index_template = "admin/analytics/home.html"  # of what `analytics.home` puts together
