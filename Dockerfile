# The bridge alone: the program, the C library it is linked with, the certificates of authorities, and nothing else; no
# shell, no package manager, no user but the one that it runs as. Run it like this, with bridge.yaml, mapping.yaml and the
# key's file in ./etc, which user 65532 must be able to read; docs/container.md says more:
#
#     docker build -t ziflow-scim-bridge .
#     docker run --read-only --cap-drop ALL --security-opt no-new-privileges -p 8080:8080 \
#       -v "$PWD/etc":/etc/ziflow-scim-bridge:ro -v ziflow-scim-bridge:/var/lib/ziflow-scim-bridge ziflow-scim-bridge

FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release
# What the program is linked with, by its own list, at the same places; and a user, as the program and the resolver want
# one to have a name.
RUN install -D target/release/ziflow-scim-bridge /image/usr/bin/ziflow-scim-bridge \
    && ldd target/release/ziflow-scim-bridge | grep -o '/[^ ]*' | xargs -I {} install -D {} /image{} \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && echo 'bridge:x:65532:65532::/nonexistent:/sbin/nologin' > /image/etc/passwd \
    && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
    && install -d -m 700 -o 65532 -g 65532 /image/var/lib/ziflow-scim-bridge

FROM scratch
COPY --from=build /image /
USER 65532:65532
VOLUME /var/lib/ziflow-scim-bridge
# Nothing else is written: --read-only is right.
EXPOSE 8080
STOPSIGNAL SIGTERM
# No HEALTHCHECK: it would have to be a program in here, and what /healthz answers is the orchestrator's to ask.
ENTRYPOINT ["/usr/bin/ziflow-scim-bridge"]
CMD ["serve"]
