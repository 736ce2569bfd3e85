# The sample jobs. One image for both kinds of node: the GPU is reached through the driver alone, which the NVIDIA
# container runtime puts in at start; without it the same binary computes on the processor.
#
#   docker build -f deploy/images/rfuse-jobs.Dockerfile -t rfuse-jobs:0.1.0 .
#   docker build --build-arg BASE=nvidia/cuda:12.4.1-base-ubuntu22.04 …    # where a base is prescribed
ARG BASE=debian:bookworm-slim
ARG BUILDER=rust:1.95-bookworm

FROM ${BUILDER} AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --locked --profile dist --package rfuse-resim

FROM ${BASE}
COPY --from=build /src/target/dist/rfuse-resim /usr/local/bin/rfuse-resim
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
ENTRYPOINT ["rfuse-resim"]
