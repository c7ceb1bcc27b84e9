FROM alpine:3.20
RUN rmdir /var/none && mkdir /var/a && mkdir /var/b
