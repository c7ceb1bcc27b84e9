FROM alpine:3.20
RUN if [ -d /etc ]; then exit 0; fi; mkdir /etc && mkdir /var/b
