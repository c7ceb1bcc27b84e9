FROM debian:trixie-slim AS build
COPY start.sh /out/start.sh
RUN chmod 755 /out/start.sh

FROM gcr.io/distroless/static-debian13:nonroot
COPY --from=build /out/start.sh /start.sh
ENTRYPOINT ["/start.sh"]
