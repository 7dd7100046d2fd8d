from django.urls import path

from analytics.api import views

urlpatterns = [
    path("reports", views.ReportsView.as_view(), name="reports"),
    path("reports/<str:name>", views.ReportView.as_view(), name="report"),
]
