# syntax=docker/dockerfile:1
# The worker's image. Nothing is written at run time: it runs with a read-only root
# file system and no volume, as a user without a name or a home.
#
#   docker build -t inference-worker .
#   docker run --read-only --cap-drop ALL --env-file worker.env inference-worker
#   docker run --read-only --env-file worker.env inference-worker check

ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv --without-pip /opt/worker
COPY requirements/run.txt deploy/build.txt ./
# The versions that the tests ran, by their hashes. The build's own tools stay in this stage.
RUN pip install --require-hashes -r build.txt \
 && pip --python /opt/worker/bin/python install --require-hashes --no-compile -r run.txt
COPY pyproject.toml README.md ./
COPY worker worker
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && pip --python /opt/worker/bin/python install --no-deps --no-compile dist/*.whl
# Takes out what no worker uses, and compiles what is left, here and once: a container that cannot
# write would compile at every start (0.4 CPU s).
COPY deploy/slim.py ./
RUN /opt/worker/bin/python slim.py

FROM ${PYTHON}
COPY --from=build /opt/worker /opt/worker
ENV PATH=/opt/worker/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1 \
    WORKER_HEALTH__PORT=8081
# A number, so that `runAsNonRoot` can be checked without a look into /etc/passwd.
USER 65532:65532
WORKDIR /
STOPSIGNAL SIGTERM
# Whether this process still works; never whether a model does (docs/health.md). ECS reads the
# task definition instead, which names the same command.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["inference-worker", "health"]
# The worker is process 1 and hears SIGTERM itself: no shell stands between.
ENTRYPOINT ["inference-worker"]
CMD ["run"]
