# Every distribution is one that requirements.lock names, checked against its hash; the image keeps those that the
# command and its extras need. The lock is Python 3.11's.
FROM python:3.11-slim AS build
WORKDIR /source
COPY requirements.lock ./
RUN pip wheel --no-cache-dir --require-hashes --requirement requirements.lock --wheel-dir /wheels
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN pip wheel --no-cache-dir --no-index --find-links /wheels --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/exporter \
    && /opt/exporter/bin/pip install --no-cache-dir --no-index --find-links /wheels \
        'duoplus-exporter[duckdb,pandas,publish,report,xlsx]'

FROM python:3.11-slim
COPY --from=build /opt/exporter /opt/exporter
RUN useradd --uid 10001 --no-create-home exporter && install --directory --owner exporter /data
ENV PATH=/opt/exporter/bin:$PATH XDG_STATE_HOME=/data/.state XDG_CACHE_HOME=/data/.cache MPLCONFIGDIR=/data/.cache
USER exporter
WORKDIR /data
VOLUME /data
ENTRYPOINT ["exporter"]
CMD ["--help"]
