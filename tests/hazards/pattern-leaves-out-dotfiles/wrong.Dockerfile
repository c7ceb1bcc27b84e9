FROM alpine:3.20
COPY --chown=1400:1400 app /app
