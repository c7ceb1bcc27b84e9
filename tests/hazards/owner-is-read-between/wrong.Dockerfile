FROM alpine:3.20
COPY --chown=1400:1400 app /app
RUN find /app -user root -type f > /etc/files-of-root
