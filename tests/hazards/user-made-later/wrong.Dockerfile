FROM alpine:3.20
COPY --chown=clerk:clerk app /app
RUN adduser -D -H -u 1400 clerk
