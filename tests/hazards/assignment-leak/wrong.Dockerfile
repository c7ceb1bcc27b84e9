FROM alpine:3.20
ENV NAME=image
RUN NAME=local; mkdir "/var/$NAME" && echo "$NAME" > /etc/name
