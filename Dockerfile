# Vivace in a container: built in one stage, run without a shell, a package manager or root in the other.
#
#   docker build -t vivace .
#   docker run -p 3200:3200 -p 4317:4317 -p 4318:4318 -v vivace:/var/vivace vivace
#
# The root file system is never written: `--read-only` works. All data is in /var/vivace.

FROM rust:1.95-slim-bookworm AS build
# A C compiler for aws-lc, zstd and mimalloc; neither cmake nor clang is needed.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --profile dist --bin vivace \
    && mkdir -p /out/var/vivace \
    && cp target/dist/vivace /out/vivace

# glibc, libgcc, the CA certificates that TLS to a bucket trusts, and the user `nonroot` (65532). No shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/vivace /usr/local/bin/vivace
COPY --from=build --chown=65532:65532 /out/var/vivace /var/vivace
COPY docker/tempo.yaml /etc/vivace/tempo.yaml
COPY LICENSE /usr/share/doc/vivace/LICENSE
USER 65532:65532
WORKDIR /var/vivace
VOLUME /var/vivace
# HTTP API, gRPC API, OTLP over gRPC, OTLP over HTTP; where the config turns them on, Jaeger (gRPC, HTTP, agent) and Zipkin
EXPOSE 3200 9095 4317 4318 14250 14268 6831/udp 6832/udp 9411
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/vivace"]
CMD ["-config.file=/etc/vivace/tempo.yaml", "-config.expand-env=true"]
