# The data plane alone, as one static program: gateways and sidecars.
# Bases are pinned by tag here; a release names digests too: --build-arg RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:…
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${RUST_IMAGE} AS build
ARG PROFILE=release
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY rust rust
# Static, so that the base needs no C library. The target is named, for else the flag would reach build scripts and macros as well.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    target="$(rustc --print host-tuple)" \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --locked --profile "$PROFILE" --target "$target" --package tradewind-gateway \
    && mkdir /out && cp "target/$target/$PROFILE/tradewind-gateway" /out/

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tradewind-gateway" \
      org.opencontainers.image.description="Tradewind's data plane: routes calls to language models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY LICENSE NOTICE /licenses/
COPY --from=build /out/tradewind-gateway /tradewind-gateway
# The predictor that policies have by default: a mounted plan can be served before a controller answers. Others come from controllers.
COPY python/tradewind/predictors/default/predictor.onnx /predictors/default.onnx
ENV TRADEWIND_PREDICTORS=/predictors/default.onnx
WORKDIR /
# By number, so that Kubernetes can see that it is not root. Kubernetes probes; there is no HEALTHCHECK.
USER 65532:65532
# Native door, health and metrics, TLS door.
EXPOSE 4000 4002 4443
ENTRYPOINT ["/tradewind-gateway"]
