FROM alpine:3.20 AS build
RUN mkdir /out && echo 'echo probing' > /out/probe && chmod 4755 /out/probe

FROM alpine:3.20
WORKDIR /app
RUN chown 1400:1400 /app
COPY --from=build --chown=1400:1400 /out/ ./
