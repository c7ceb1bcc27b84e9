FROM alpine:3.20
RUN mkdir /var/a && mkdir here
WORKDIR /var/b
