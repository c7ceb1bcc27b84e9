FROM alpine:3.20
COPY --chmod=755 old.sh /usr/bin/stamp
COPY --chmod=755 new.sh /etc/new-stamp
RUN mkdir -p /usr/local/bin && stamp > /etc/first && mv /etc/new-stamp /usr/local/bin/stamp && \
    stamp > /etc/second && rm /etc/first
