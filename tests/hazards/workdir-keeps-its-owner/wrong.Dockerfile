FROM alpine:3.20
RUN adduser -D -H -u 1400 clerk
WORKDIR /app
COPY --chown=clerk:clerk app .
