# The Python package: the controller, both doors of the data plane (`gateway.shim`), and `tradewind kube`.
# Bases are pinned by tag here; a release names digests too: --build-arg RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:…
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/python3-debian12:nonroot

FROM ${RUST_IMAGE} AS build
ARG PROFILE=release
ENV UV_LINK_MODE=copy
# Debian's Python, for the base below has it too, at the same path. Debian drops old builds, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements requirements
RUN --mount=type=cache,target=/root/.cache/uv \
    /usr/bin/python3.11 -m venv /tools \
    && /tools/bin/python -m pip install --quiet --no-cache-dir --requirement requirements/build.txt \
    && /tools/bin/uv pip install --quiet --python /tools/bin/python --constraint requirements/lock.txt maturin \
    && /usr/bin/python3.11 -m venv --without-pip /venv \
    && /tools/bin/uv pip install --quiet --python /venv/bin/python --require-hashes --requirement requirements/controller.txt
COPY Cargo.toml Cargo.lock pyproject.toml README.md LICENSE NOTICE ./
COPY rust rust
COPY python python
# pip, for uv notes the time in what it installs.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    /tools/bin/maturin build --quiet --locked --profile "$PROFILE" --interpreter /usr/bin/python3.11 --out /wheels \
    && /tools/bin/python -m pip --quiet --python /venv/bin/python install --no-cache-dir --no-compile --no-deps --no-index --find-links /wheels tradewind
# Compiled here, for the base has no compiled library and a pod may write nothing. A file counts while its source has the same hash.
RUN PYTHONPYCACHEPREFIX=/pycache /usr/bin/python3.11 -m compileall -q -j 0 --invalidation-mode checked-hash -x '/(test|tests|idlelib|lib2to3|turtledemo)/' \
    /usr/lib/python3.11 /venv/lib

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tradewind-controller" \
      org.opencontainers.image.description="Tradewind's controller, and its data plane with a Python door" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# ONNX Runtime's wheels measure their users unless told not to before they load.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONPYCACHEPREFIX=/pycache ORT_DISABLE_TELEMETRY=1 HOME=/home/nonroot
COPY LICENSE NOTICE /licenses/
COPY --from=build /pycache /pycache
COPY --from=build /venv /venv
WORKDIR /
# By number, so that Kubernetes can see that it is not root. Kubernetes probes; there is no HEALTHCHECK.
USER 65532:65532
# Sync channel, health and metrics of the controller; then the data plane's: native door, ASGI door, health and metrics, TLS door.
EXPOSE 8443 8081 4000 4001 4002 4443
ENTRYPOINT ["/venv/bin/tradewind"]
