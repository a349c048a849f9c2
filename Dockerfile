# The daemon in one image; docs/deploy.md says how to build it, run it, and pin the base by its digest.
#
#   runtime   everything, no user chosen yet
#   fly       begins as root, because Fly.io mounts a volume as root's; gives it away and the rights up, then starts
#   image     the default: never root
#
# No init process is needed: botctl replaces itself by Python, which is told to stop and stops; the database server that
# it starts ends before it.
ARG BASE=python:3.13.9-slim-bookworm

FROM ${BASE} AS build
# Where packages come from, if not from the usual place: docker build --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
ENV BOT_VENV=/opt/bot PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1
WORKDIR /app
COPY botctl requirements.lock requirements-build.lock requirements-installer.lock ./
# As botctl does it everywhere: every package by its hash, none built but the one of decision 0007, bytecode compiled.
RUN ./botctl make-environment-with-lock-held requirements.lock "$(command -v python3)"
# What installs is of no use afterwards, except to an intruder.
RUN /opt/bot/bin/python -m pip uninstall --quiet --yes uv setuptools pip
COPY pyproject.toml ./
COPY bot bot
COPY ops/fly ops/fly
RUN /opt/bot/bin/python -m compileall -q --invalidation-mode unchecked-hash bot

FROM ${BASE} AS runtime
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /data --shell /usr/sbin/nologin bot \
    && install -d -o bot -g bot -m 0700 /data
COPY --from=build /opt/bot /opt/bot
COPY --from=build /app /app
WORKDIR /app
# Whatever is written goes to /data; all else may be read-only.
ENV BOT_VENV=/opt/bot DATA_DIRECTORY=/data HOME=/data TMPDIR=/data MPLCONFIGDIR=/data/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 HTTP_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/bot/bin/python", "-I", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['HTTP_PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["/app/botctl"]
CMD ["run"]

FROM runtime AS fly
ENTRYPOINT ["/app/ops/fly/entrypoint"]

FROM runtime AS image
USER bot
VOLUME /data
