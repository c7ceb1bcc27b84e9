FROM alpine:3.20
ENV MODE=development
COPY --chown=1400:1400 app /app
