from django.urls import path

from sales import views

urlpatterns = [
    path("ingest", views.IngestView.as_view()),
    path("feedback", views.FeedbackView.as_view()),
]
