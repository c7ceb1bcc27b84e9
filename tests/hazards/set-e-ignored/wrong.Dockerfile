FROM alpine:3.20
RUN (set -e; rmdir /var/none; mkdir /var/a) && mkdir /var/b
