FROM alpine:3.20
COPY --chown=1400:0 app /var/app
