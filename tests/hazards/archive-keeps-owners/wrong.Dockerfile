FROM alpine:3.20
ADD --chown=1400:1400 app.tar.gz /app
