# syntax=docker/dockerfile:1
# The image. For both platforms, with provenance and SBOM: docs/releasing.md.
# dev/image/build makes the same image without a container engine, and takes USER, ENTRYPOINT and LABEL from here.

FROM debian:bookworm-slim AS rootfs
ARG SOURCE_DATE_EPOCH=0
COPY dev/image/rootfs /usr/local/bin/rootfs
RUN apt-get update && rootfs /rootfs

FROM rust:1.95-bookworm AS program
WORKDIR /project
COPY . .
ARG TARGETARCH
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/project/target,id=target-${TARGETARCH} \
    cargo build --locked --release && cp target/release/inference-profile-operator /

FROM scratch
COPY --from=rootfs /rootfs /
COPY --from=program /inference-profile-operator /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/inference-profile-operator"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="inference-profile-operator"
LABEL org.opencontainers.image.description="Kubernetes operator that writes Amazon Bedrock inference profile IDs into ConfigMaps and Secrets"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.version="${VERSION}"
LABEL org.opencontainers.image.revision="${REVISION}"
