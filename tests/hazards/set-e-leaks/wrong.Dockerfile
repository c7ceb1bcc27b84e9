FROM alpine:3.20
RUN set -e; mkdir /var/a; rmdir /var/none; mkdir /var/b
