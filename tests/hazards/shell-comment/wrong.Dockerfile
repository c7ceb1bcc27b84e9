FROM alpine:3.20
RUN mkdir /var/a # for the uploads && mkdir /var/b
