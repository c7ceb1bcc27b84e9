FROM alpine:3.20
RUN mkdir /etc/passwd && mkdir /var/a; mkdir /var/b
