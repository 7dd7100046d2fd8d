"""Real servers: any process can confirm an import, not only the one that showed the preview."""

import re
from html import unescape

import httpx
import pytest

from salesengine.tests.servers import PASSWORD, manage, new_folder, serve

CSV = "ID_COUNTRY,COUNTRY_NAME,CONTINENT\n170,France,Europe\n"
COUNT = "from countries.models import Country; print(Country.objects.count())"


def log_in(client):
    form = re.search('csrfmiddlewaretoken" value="([^"]+)"', client.get("/admin/login/").text)[1]
    client.post("/admin/login/", data={"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": form})


@pytest.mark.slow
def test_one_server_shows_the_preview_and_another_one_imports_it():
    with (
        new_folder() as folder,
        serve(folder) as first,
        serve(folder) as second,
        httpx.Client() as client,
    ):
        client.base_url = first
        log_in(client)
        page = client.get("/admin/countries/country/import/").text
        token = re.search('csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        form = {"csrfmiddlewaretoken": token, "format": "0", "resource": "0"}
        page = client.post("/admin/countries/country/import/", data=form, files={"import_file": ("c.csv", CSV)}).text
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
        client.base_url = second
        response = client.post(
            "/admin/countries/country/process_import/",
            data={name: unescape(value) for name, value in fields} | {"csrfmiddlewaretoken": token},
        )
        assert (response.status_code, response.headers["Location"]) == (302, "/admin/countries/country/")
        assert manage(folder, "shell", "--no-imports", "-c", COUNT).strip() == "1"
