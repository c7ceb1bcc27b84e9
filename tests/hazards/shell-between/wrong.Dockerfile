FROM alpine:3.20
SHELL ["/bin/sh", "-o", "pipefail", "-c"]
RUN grep -h colour /etc/group | tee /etc/colours && mkdir /var/a
