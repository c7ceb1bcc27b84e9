FROM debian:trixie-slim AS build
RUN mkdir /out && cp /usr/bin/sha256sum /out/app

FROM gcr.io/distroless/static-debian13:nonroot
COPY --from=build /out/app /usr/local/bin/app
ENTRYPOINT ["/usr/local/bin/app", "/etc/hostname"]
