FROM alpine:3.20
RUN mkdir -m 777 /var/drop && touch /var/drop/mine
USER nobody
