FROM alpine:3.20
ENV NAME=uploads
RUN mkdir /var/$NAME && mkdir /var/b
